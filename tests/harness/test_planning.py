"""What makes no sense is refused with a reason, and nothing is loaded to find out."""

from __future__ import annotations

import pytest

from harness import parts, planning
from harness.api import registry
from harness.api.errors import UsageError
from harness.parts import Part
from harness.planning import Cell, Facts, judge, plan, refusal

DOORS = {"say": "generate", "rate": "score", "place": "embed"}
CARDS = {
    ("model", "lm"): {"doors": ("generate", "score"), "decodes": True, "offers": ("hidden",)},
    ("model", "ready"): {"doors": ("generate",)},
    ("model", "encoder"): {"doors": ("embed",)},
    ("decoder", "greedy"): {},
    ("decoder", "sample"): {},
    ("decoder", "tree"): {"needs": ("tree", "hidden")},
    ("decoder", "wrapper"): {"needs": ()},
}


@pytest.fixture(autouse=True)
def small_world(monkeypatch):
    """Three tasks, three models and three decoders that exist on paper alone."""

    class Paper:
        def __init__(self, door):
            self.door = door

    def card(kind, name):
        return type("Card", (), {"facts": CARDS[kind, name]})

    def create(kind, spec):
        assert kind == "task", "a refusal must not build a model"
        return Paper(DOORS[spec])

    wrapped = {"wrapper": (Part("decoder", "tree", "none"),)}
    monkeypatch.setattr(parts, "resolve", lambda kind, spec: Part(kind, spec, "none", wrapped.get(spec, ())))
    monkeypatch.setattr(registry, "card", card)
    monkeypatch.setattr(registry, "create", create)


def named(found):
    return [(cell.task, cell.model, cell.decoder) for cell in found]


def test_a_model_that_decodes_gets_greedy_when_no_decoder_is_named():
    assert named(plan(["say"], ["lm"]).cells) == [("say", "lm", "greedy")]


def test_a_model_that_generates_in_its_own_way_gets_no_decoder():
    assert named(plan(["say"], ["ready"]).cells) == [("say", "ready", None)]


def test_tasks_that_do_not_generate_run_once_without_the_decoders():
    found = plan(["say", "rate"], ["lm"], ["greedy", "sample"])
    assert named(found.cells) == [("say", "lm", "greedy"), ("say", "lm", "sample"), ("rate", "lm", None)]
    assert found.refusals == ()


def test_a_decoder_that_no_combination_takes_is_refused():
    found = plan(["rate"], ["lm"], ["greedy"])
    assert found.cells == ()
    assert "nothing to decode" in found.refusals[0].reason


def test_a_decoder_for_a_model_that_takes_none_is_refused():
    found = plan(["say"], ["ready"], ["greedy"])
    assert found.cells == ()
    assert found.refusals[0].reason == (
        "ready generates in its own way and takes no decoder, but greedy was asked for."
    )


def test_an_encoder_asked_to_generate_is_refused_and_the_rest_runs():
    found = plan(["say", "place"], ["encoder", "lm"])
    assert named(found.cells) == [("place", "encoder", None), ("say", "lm", "greedy")]
    assert [refused.reason for refused in found.refusals] == [
        "say asks models to generate, but encoder can only embed.",
        "place asks models to embed, but lm can only generate, score.",
    ]


def test_a_decoder_that_needs_what_the_model_does_not_offer_is_refused():
    assert refusal(Cell("say", "lm", "tree")) == "the decoder tree needs tree, which lm does not offer."


def test_a_card_that_is_silent_about_its_offers_refuses_no_decoder():
    facts = Facts(door="generate", model_doors=("generate",), decodes=True, needs=("tree",))
    assert judge(Cell("say", "lm", "tree"), facts) is None


def test_a_decoding_model_without_a_decoder_is_refused():
    assert "needs a decoder" in (refusal(Cell("say", "lm")) or "")


def test_cells_of_one_model_stand_side_by_side():
    found = plan(["say", "rate"], ["lm", "ready"], seeds=(0, 1))
    assert [cell.model for cell in found.cells] == ["lm"] * 4 + ["ready"] * 2
    assert [cell.seed for cell in found.cells] == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"limit": -3}, "limit is -3"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"seeds": ()}, "seeds are none"),
        ({"seeds": (0, -1)}, "seeds are 0, -1"),
    ],
)
def test_values_that_cannot_be_are_refused(change, said):
    with pytest.raises(UsageError, match=said):
        plan(["say"], ["lm"], **change)


def test_no_task_is_nothing_to_run():
    with pytest.raises(UsageError, match="nothing to run"):
        plan([], ["lm"])


def test_a_title_names_the_three():
    assert planning.Cell("say", "lm", "greedy").title == "say x lm + greedy"


def test_a_wrapper_needs_what_the_decoder_in_it_needs():
    assert refusal(Cell("say", "lm", "wrapper")) == "the decoder wrapper needs tree, which lm does not offer."
