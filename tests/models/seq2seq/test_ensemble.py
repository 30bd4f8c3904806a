"""Do several fitted networks answer as the mean of their laws, and reorder one another's n-best lists?"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from digit_letters import SPECS, fit, spelled

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import SilentMeter
from harness.api.types import Generate, Prompt, Want
from harness.models.decoders._likelihood import output_logprobs
from harness.models.decoders.beam import BeamSearch
from harness.models.decoders.greedy import Greedy
from harness.models.decoders.rerank import Rescoring
from harness.models.seq2seq._units import BEGIN

METER = SilentMeter()
STEPS = 60  # half learnt, so that members disagree


@cache
def committee(by: str = "average", weight: float = 0.5) -> Any:
    return fit(f"seq2seq/ensemble:member=({SPECS['rnn_attention']}),count=2,by={by},weight={weight}", STEPS)


def prompts() -> list[Prompt]:
    units = committee().members[0].units
    return [Prompt((*units.encode(item.requests[0].source)[0], BEGIN), 8) for item in spelled(20, 3)]


def test_the_first_member_is_the_single_model_of_the_same_seed_and_the_second_another() -> None:
    alone = fit(SPECS["rnn_attention"], STEPS)
    first, second = (dict(member.network.state_dict()) for member in committee().members)
    assert all(torch.equal(first[key], value) for key, value in alone.network.state_dict().items())
    assert any(not torch.equal(first[key], second[key]) for key in first)


def test_the_law_is_the_mean_of_the_members_laws() -> None:
    lms = [committee().lm, *(member.lm for member in committee().members)]
    laws = [torch.softmax(lm.step(lm.start(1, 20), [prompts()[0].tokens]).logits[0, -1].double(), -1) for lm in lms]
    torch.testing.assert_close(laws[0], (laws[1] + laws[2]) / 2, atol=1e-7, rtol=0)


def test_the_mean_of_attention_still_sums_to_one_so_that_coverage_can_be_asked_for() -> None:
    lm = committee().lm
    step = lm.step(lm.start(1, 20), [prompts()[0].tokens], Want("last", attention=(-1,)))
    assert lm.cross_attention
    assert float(step.attention[-1][0, :, -1].sum()) == pytest.approx(1.0, abs=1e-5)
    seeds = [0] * len(prompts())
    covered = BeamSearch(width=3, beta=0.4).decode(lm, prompts(), seeds=seeds, meter=METER)
    plain = BeamSearch(width=3).decode(lm, prompts(), seeds=seeds, meter=METER)
    paid = [one.extra["score"] - other.extra["score"] for one, other in zip(covered, plain, strict=True)]
    # a source of one letter is covered by any weights that sum to one
    assert max(paid) <= 0 > min(paid)


@pytest.mark.parametrize("decoder", ["greedy", "beam:width=3,alpha=0.6", "sample"])
def test_answers_do_not_depend_on_company(decoder: str) -> None:
    made, requests = registry.create("decoder", decoder), [item.requests[0] for item in spelled(6, 5)]
    together = committee().generate(requests, decoder=made, seeds=range(6), meter=METER)
    alone = [
        committee().generate([item], decoder=made, seeds=[seed], meter=METER)[0] for seed, item in enumerate(requests)
    ]
    assert [item.tokens for item in together] == [item.tokens for item in alone]


def test_the_mean_is_as_likely_right_as_its_members_on_average() -> None:
    wanted = [committee().members[0].units.encode(item.target)[0] for item in spelled(60, 7)]
    asked = [item.requests[0] for item in spelled(60, 7)]

    def right(model: Any) -> float:
        found = model.generate(asked, decoder=Greedy(), seeds=[0] * 60, meter=METER)
        return float(np.mean([list(item.tokens) == want for item, want in zip(found, wanted, strict=True)]))

    alone = [right(member) for member in committee().members]
    # half-learnt members are right now and then, never always
    assert 0.02 < min(alone) < 0.98
    assert right(committee()) >= np.mean(alone)


def test_an_n_best_list_is_scored_by_teacher_forcing_and_reordered_by_the_other_member() -> None:
    first, second = (member.lm for member in committee().members)
    inner = BeamSearch(width=6, nbest=6)
    before = inner.decode(first, prompts(), seeds=[0] * 20, meter=METER)
    after = Rescoring(inner, second, 1.0).decode(first, prompts(), seeds=[0] * 20, meter=METER)
    for prompt, old, new in zip(prompts(), before, after, strict=True):
        assert sorted(tokens for tokens, _ in new.alternatives) == sorted(tokens for tokens, _ in old.alternatives)
        assert new.tokens == new.alternatives[0][0]
        scores = [score for _, score in new.alternatives]
        assert scores == sorted(scores, reverse=True)
        (values,) = output_logprobs(second, prompt, [new], METER)
        assert scores[0] == pytest.approx(sum(values), abs=1e-4)
    assert any(old.tokens != new.tokens for old, new in zip(before, after, strict=True))


def test_rescoring_with_no_weight_keeps_the_first_members_answer() -> None:
    asked, made = [item.requests[0] for item in spelled(10, 3)], registry.create("decoder", "beam:width=5,nbest=5")
    kept = committee("rescore", 0.0).generate(asked, decoder=made, seeds=[0] * 10, meter=METER)
    alone = committee().members[0].generate(asked, decoder=made, seeds=[0] * 10, meter=METER)
    assert [item.tokens for item in kept] == [item.tokens for item in alone]


def test_a_finished_fit_is_read_back_member_by_member(tmp_path: Any) -> None:
    spec = f"seq2seq/ensemble:member=({SPECS['rnn_attention']})"
    first, again = fit(spec, 8, tmp_path), fit(spec, 8, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"member-0", "member-1"}
    asked = [Generate("012", 6)]
    said = [model.generate(asked, decoder=None, seeds=[0], meter=METER)[0].tokens for model in (first, again)]
    assert said[0] == said[1]


@pytest.mark.parametrize("spec", ["count=1", "weight=2", "member=lms/smollm2"])
def test_what_makes_no_ensemble_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="seq2seq/ensemble"):
        fit(f"seq2seq/ensemble:{spec}", 1)


def test_a_learner_beside_another_model_is_refused_with_the_way_to_have_it() -> None:
    made = registry.create("decoder", "ensemble:models=seq2seq/rnn_attention")
    with pytest.raises(UsageError, match="seq2seq/ensemble trains several"):
        made.prepare(None, committee())
