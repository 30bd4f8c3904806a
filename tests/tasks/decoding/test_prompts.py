"""Prompt sets for decoders: sizes, turns, stops, and the number in a worked solution."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import HarnessError, UsageError
from harness.api.types import Example, Failure, Generate, Generated, Turn
from harness.metrics.mean_accepted_tokens import MeanAcceptedTokens
from harness.metrics.number_match import NumberMatch
from harness.metrics.target_calls import TargetCalls
from harness.metrics.verified_nodes import VerifiedNodes
from harness.models.lms._prompt import conversation, plain
from harness.sources import DataSources
from harness.tasks.decoding.gsm8k import DATA, Gsm8k
from harness.tasks.decoding.spec_bench import CATEGORIES, SpecBench


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ("decoding/spec_bench", 480),
        ("decoding/spec_bench:category=rag", 80),
        ("decoding/humaneval_prompts", 164),
        ("decoding/mbpp_prompts", 399),
        ("decoding/gsm8k", 1319),
    ],
)
def test_every_prompt_is_there_once(real_sources: DataSources, spec: str, count: int) -> None:
    examples = list(registry.create("task", spec).examples("test", 0, real_sources))
    assert len({example.id for example in examples}) == len(examples) == count
    assert all(isinstance(example.requests[0], Generate) for example in examples)


def test_the_six_categories_have_80_questions_each(real_sources: DataSources) -> None:
    categories = [example.tags["category"] for example in SpecBench().examples("test", 0, real_sources)]
    assert {name: categories.count(name) for name in CATEGORIES} == dict.fromkeys(CATEGORIES, 80)


def test_the_second_turn_follows_the_models_own_answer() -> None:
    task = SpecBench(max_new_tokens=7)
    example = Example("81", (Generate((Turn("user", "Write."),), 7),), {"turns": ["Write.", "Again."]})
    said = (Turn("user", "Write."), Turn("assistant", "Aloha"), Turn("user", "Again."))
    assert task.follow_up(example, [Generated("Aloha")]) == Generate(said, 7)
    assert task.follow_up(example, [Generated("Aloha"), Generated("Oh")]) is None
    assert task.follow_up(example, [Failure("out of luck")]) is None


def test_a_question_of_one_turn_is_complete_after_one_answer() -> None:
    example = Example("1", (Generate((Turn("user", "Hi"),), 7),), {"turns": ["Hi"]})
    assert SpecBench().follow_up(example, [Generated("Ho")]) is None


def test_training_problems_used_as_shots_are_not_asked(real_sources: DataSources) -> None:
    examples = list(Gsm8k(shots=5, layout="turns").examples("train", 0, real_sources))
    assert len(examples) == 7473 - 5
    shots = dict(examples[0].requests[0].shots)  # type: ignore[union-attr]
    assert len(shots) == 5
    assert not any(example.requests[0].source in shots for example in examples)  # type: ignore[union-attr]


def test_negative_shots_and_unknown_categories_are_refused(real_sources: DataSources) -> None:
    with pytest.raises(UsageError, match="shots=-1"):
        next(Gsm8k(shots=-1).examples("test", 0, real_sources))
    with pytest.raises(UsageError, match="no category 'chess'; it has mt_bench"):
        next(SpecBench(category="chess").examples("test", 0, real_sources))


@pytest.mark.parametrize(
    ("text", "last", "marked"),
    [
        ("", 0.0, 0.0),
        ("no number at all", 0.0, 0.0),
        ("#### 1,018", 1.0, 1.0),
        ("She makes $1,018.", 1.0, 0.0),
        ("#### 1018 apples. 7 days.", 0.0, 1.0),
        ("it is 1018.5", 0.0, 0.0),
        ("-1018", 0.0, 0.0),
        # an ellipsis, a later one, a decimal point, a dollar after the mark, other digits
        ("The answer is 1018...", 1.0, 0.0),
        ("The total is 1,018. Hope that helps...", 1.0, 0.0),
        ("1018 dollars.., I think", 1.0, 0.0),
        ("It costs $1,018.00", 1.0, 0.0),
        ("#### $1018", 1.0, 1.0),
        ("####1018.", 1.0, 1.0),
        ("from 1,000-1,018", 1.0, 0.0),
        ("\u0661\u0660\u0661\u0668", 1.0, 0.0),
        # a list is no number with a comma
        ("1,018,5", 0.0, 0.0),
        ("#### -1018", 0.0, 0.0),
        ("10,18", 0.0, 0.0),
        ("x" * 100_000 + "1,11" * 30_000, 0.0, 0.0),
    ],
)
def test_a_number_is_right_wherever_it_is_said(text: str, last: float, marked: float) -> None:
    example = Example("0", (), "1,018")
    assert NumberMatch(found="last").value(example, [Generated(text)]) == last
    assert NumberMatch(found="marked").value(example, [Generated(text)]) == marked


def test_a_target_without_a_number_is_an_error() -> None:
    with pytest.raises(HarnessError, match="no number"):
        NumberMatch().value(Example("0", (), "many"), [Generated("7")])


def test_gsm8k_asks_lm_evals_prompt_to_the_letter(real_sources: DataSources) -> None:
    # lm-eval 0.4.13, gsm8k.yaml: doc_to_text "Question: {{question}}\nAnswer:", doc_to_target "{{answer}}", a blank
    # between them, an empty line after them, 5 shots, no chat template
    shots = list(islice(real_sources.rows(DATA, "train"), 5))
    asked = next(iter(real_sources.rows(DATA, "test")))["question"]
    wanted = "".join(f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in shots)
    (request,) = next(iter(Gsm8k().examples("test", 0, real_sources))).requests
    assert isinstance(request, Generate)
    assert plain(request) == request.source == f"{wanted}Question: {asked}\nAnswer:"
    assert plain(request).startswith(
        "Question: Natalia sold clips to 48 of her friends in April, and then she sold half"
    )
    assert "How many clips did Natalia sell altogether in April and May?\nAnswer: Natalia sold 48/2" in plain(request)
    # one turn for a chat model, and eleven where they are asked for
    assert [turn.role for turn in conversation(request)] == ["user"]
    (request,) = next(iter(Gsm8k(layout="turns").examples("test", 0, real_sources))).requests
    assert isinstance(request, Generate)
    assert [turn.role for turn in conversation(request)] == [*(["user", "assistant"] * 5), "user"]


def test_accepted_tokens_are_a_ratio_of_totals_over_turns_and_examples() -> None:
    metric, empty = MeanAcceptedTokens(), Generated("")
    one = metric.measure(Example("", ()), [Generated("", accepted=(4, 4), calls=3)])
    two = metric.measure(
        Example("", ()), [Generated("", accepted=(1,), calls=2), Generated("", accepted=(1, 1), calls=3)]
    )
    assert metric.reduce(np.array([one, two])) == pytest.approx(11 / 5)
    assert np.isnan(metric.measure(Example("", ()), [empty])).all()
    assert TargetCalls().value(Example("", ()), [Generated("", calls=3), Generated("", calls=2)]) == 5.0


def test_verified_nodes_are_draft_tokens_per_call() -> None:
    metric = VerifiedNodes()
    row = metric.measure(Example("", ()), [Generated("", accepted=(4, 1), calls=3, drafted=12)])
    assert metric.reduce(row[None]) == 6.0


def test_a_failure_is_not_measured_as_text() -> None:
    with pytest.raises(TypeError, match="target_calls measures generations, not Failure"):
        TargetCalls().value(Example("", ()), [Failure("no")])


def test_so_many_questions_of_each_category_are_the_first_ones(real_sources: DataSources) -> None:
    few = list(registry.create("task", "decoding/spec_bench:per_category=3").examples("test", 0, real_sources))
    every = list(registry.create("task", "decoding/spec_bench").examples("test", 0, real_sources))
    for category in {example.tags["category"] for example in every}:
        wanted = [example.id for example in every if example.tags["category"] == category][:3]
        assert [example.id for example in few if example.tags["category"] == category] == wanted
    assert len(few) == 18
