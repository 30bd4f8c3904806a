"""Do the beams find what enumeration finds, and score it as teacher forcing does?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from harness.api.errors import HarnessError
from harness.api.protocols import SilentMeter
from harness.api.types import Decoded, Prompt, Step, Want
from harness.models.decoders._beam import Scoring, beam_search
from harness.models.decoders.beam import BeamSearch, decoded
from harness.models.decoders.conditional_beam import ConditionalBeam, Constant
from harness.models.decoders.exact_mode import ExactMode
from harness.models.lms._recomputed import RecomputedModel
from harness.models.lms._tabular import TabularModel, TabularState

METER = SilentMeter()
END = 3


def run(decoder: object, lm: TabularModel, prompts: Sequence[Prompt]) -> list[Decoded]:
    return decoder.decode(lm, prompts, seeds=[0] * len(prompts), meter=METER)  # type: ignore[attr-defined]


def model(seed: int = 0, sharpness: float = 1.0) -> TabularModel:
    return TabularModel(4, 2, seed=seed, end=END, sharpness=sharpness)


def ending(item: Decoded) -> tuple[int, ...]:
    return item.tokens + ((END,) if item.finished == "eos" else ())


def teacher_forced(lm: TabularModel, prompt: Sequence[int], output: Sequence[int]) -> float:
    text = list(prompt)
    total = 0.0
    for token in output:
        total += math.log(lm.probabilities(text)[token])
        text.append(token)
    return total


@pytest.mark.parametrize("seed", range(5))
def test_width_one_is_greedy_whatever_the_scoring(seed: int) -> None:
    lm = model(seed)
    for alpha in (0.0, 1.0):
        (found,) = run(BeamSearch(width=1, alpha=alpha), lm, [Prompt((0, 1), 8)])
        text: list[int] = [0, 1]
        while len(text) < 10 and (best := int(lm.logits(text).argmax())) != END:
            text.append(best)
        assert found.tokens == tuple(text[2:])


@pytest.mark.parametrize("seed", range(5))
def test_a_width_that_never_prunes_finds_the_exact_mode(seed: int) -> None:
    lm, prompt = model(seed), Prompt((0, 1), 4)
    law = lm.joint(prompt.tokens, 4)
    mode = max(law, key=law.__getitem__)
    for decoder in (BeamSearch(width=4**4), ExactMode()):
        (found,) = run(decoder, lm, [prompt])
        assert ending(found) == mode
        assert found.logprob == pytest.approx(math.log(law[mode]), abs=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_the_full_width_maximises_the_length_normalised_score(alpha: float) -> None:
    lm, prompt = model(3), Prompt((0, 1), 4)
    scores = {
        output: math.log(chance) / ((5 + len(output)) / 6) ** alpha
        for output, chance in lm.joint(prompt.tokens, 4).items()
    }
    (found,) = run(BeamSearch(width=4**4, alpha=alpha), lm, [prompt])
    assert ending(found) == max(scores, key=scores.__getitem__)
    assert found.extra["score"] == pytest.approx(max(scores.values()), abs=1e-5)


def test_the_returned_log_probability_is_teacher_forcing() -> None:
    lm = model(1)
    (found,) = run(BeamSearch(width=3, alpha=0.8), lm, [Prompt((2, 2), 7)])
    assert found.logprob == pytest.approx(teacher_forced(lm, (2, 2), ending(found)), abs=1e-5)


def test_prompts_in_company_are_searched_as_alone() -> None:
    lm = model(4, sharpness=0.5)
    prompts = [Prompt((0, 1), 6), Prompt((2,), 3), Prompt((1, 1, 0), 0), Prompt((2, 0), 9)]
    together = run(BeamSearch(width=3, alpha=0.5), lm, prompts)
    alone = [run(BeamSearch(width=3, alpha=0.5), lm, [prompt])[0] for prompt in prompts]
    assert [item.tokens for item in together] == [item.tokens for item in alone]
    assert together[2].tokens == ()


def test_the_alternatives_are_sorted_and_the_first_is_the_answer() -> None:
    (found,) = run(BeamSearch(width=4, nbest=4), model(2), [Prompt((0, 1), 5)])
    scores = [score for _, score in found.alternatives]
    assert scores == sorted(scores, reverse=True)
    assert found.alternatives[0][0] == found.tokens
    assert len(scores) == 4


def test_pruning_with_an_infinite_margin_changes_nothing_and_a_tight_one_searches_less() -> None:
    lm, prompt = model(2, sharpness=2.0), Prompt((0, 1), 6)
    free, wide, tight = (
        beam_search(lm, [prompt], 6, Scoring(prune=margin), meter=METER, nbest=6)[0] for margin in (math.inf, 1e9, 0.5)
    )
    assert [item.tokens for item in free.done] == [item.tokens for item in wide.done]
    assert len(tight.done) < len(free.done)


class Attending(TabularModel):
    """Attention that moves one source position a step, so that coverage counts output tokens."""

    cross_attention = True

    def step(
        self,
        state: TabularState,
        tokens: Sequence[Sequence[int]],
        want: Want = Want("last"),  # noqa: B008
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        plain = super().step(state, tokens, Want(want.logits), parents)
        weights = torch.zeros(len(tokens), 1, 1, 4)
        for row, text in enumerate(plain.state.rows):
            weights[row, 0, 0, min(3, len(text) - 2)] = 1.0
        return Step(plain.state, plain.logits, {}, {-1: weights})


def test_the_coverage_penalty_prefers_outputs_that_read_the_whole_source() -> None:
    lm = Attending(4, 2, seed=1, end=END)
    lm.table[..., END] += 1.5
    short = run(BeamSearch(width=64), lm, [Prompt((0, 1), 6)])[0]
    covering = run(BeamSearch(width=64, beta=5.0), lm, [Prompt((0, 1), 6)])[0]
    assert len(ending(short)) < 4 <= len(ending(covering))


def test_a_constant_classifier_is_plain_beam_search() -> None:
    lm, prompt = model(4), Prompt((0, 1), 6)
    plain = run(BeamSearch(width=3), lm, [prompt])[0]
    guided = decoded(beam_search(lm, [prompt], 3, Scoring(), meter=METER, guide=Constant(-0.7))[0])
    assert guided.tokens == plain.tokens


def conditioned(lm: TabularModel, keep: object, length: int) -> tuple[int, ...]:
    law = lm.joint((0, 1), length)
    allowed = {output: chance for output, chance in law.items() if keep(output)}  # type: ignore[operator]
    return max(allowed, key=allowed.__getitem__)


@pytest.mark.parametrize("seed", range(4))
def test_the_likeliest_output_with_the_attribute_is_found_by_enumeration(seed: int) -> None:
    lm, prompt = model(seed), Prompt((0, 1), 4)
    lm.table[0, 1, END] += 4.0
    for attribute, keep in (
        (ConditionalBeam(attribute="non_empty", width=256), lambda output: output[0] != END),
        (
            ConditionalBeam(attribute="length", shortest=2, longest=3, width=256),
            lambda output: 2 <= len([token for token in output if token != END]) <= 3,
        ),
        (
            ConditionalBeam(attribute="non_repetitive", ngram=1, width=256),
            lambda output: len(set(output)) == len(output),
        ),
    ):
        assert ending(run(attribute, lm, [prompt])[0]) == conditioned(lm, keep, 4)


def test_the_exact_mode_of_a_length_is_the_enumerated_one() -> None:
    lm, prompt = model(6), Prompt((0, 1), 4)
    lm.table[0, 1, END] += 4.0
    (found,) = run(ExactMode(attribute="length", shortest=2, longest=2), lm, [prompt])
    assert ending(found) == conditioned(lm, lambda output: len(output) == 3 and output[-1] == END, 4)


def test_an_exact_search_that_runs_out_of_calls_claims_no_mode() -> None:
    lm = model(0, sharpness=0.0)
    with pytest.raises(HarnessError, match="5 model calls did not prove"):
        run(ExactMode(calls=5), lm, [Prompt((0, 1), 6)])


def test_a_source_position_that_was_read_twice_is_covered_once() -> None:
    # equation 14: log(min(2.5, 1)) + log(min(0.5, 1)) = log(0.5)
    assert Scoring(beta=1.0).coverage_penalty(np.array([2.5, 0.5])) == pytest.approx(math.log(0.5))


def test_a_longer_output_may_still_win_by_its_length_penalty() -> None:
    """End at once with 0.6 (log 0.6 = -0.51), or go on with 0.4 for ten tokens (log 0.4 / ((5 + 10) / 6) = -0.37)."""

    def law(texts: Sequence[Sequence[int]]) -> torch.Tensor:
        rows = [[0.6, 0.4, 1e-9] if len(found) == 1 else [1e-9, 1.0, 1e-9] for found in texts]
        return torch.log(torch.tensor(rows, dtype=torch.float64))

    lm = RecomputedModel(law, 3, frozenset({0}), 100)
    (beam,) = beam_search(lm, [Prompt((2,), 10)], 2, Scoring(alpha=1.0), meter=METER)
    assert beam.done[0].tokens == (1,) * 10
    assert beam.done[0].score == pytest.approx(math.log(0.4) / 2.5)
