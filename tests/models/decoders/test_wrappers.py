"""Do decoders that wrap others choose what they say they choose?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import stats

from harness.api.errors import UsageError
from harness.api.protocols import SilentMeter
from harness.api.types import Decoded, Prompt
from harness.models.decoders._likelihood import output_logprobs
from harness.models.decoders._trials import trial_seed
from harness.models.decoders.beam import BeamSearch
from harness.models.decoders.best_of import BestOf, Chooser
from harness.models.decoders.cntp import Cautious, CautiousNextToken
from harness.models.decoders.ensemble import AverageModel, Averaging
from harness.models.decoders.greedy import Greedy
from harness.models.decoders.rerank import Rescoring
from harness.models.decoders.sample import Sample
from harness.models.decoders.self_consistency import SelfConsistency, Voter
from harness.models.lms._recomputed import RecomputedModel
from harness.models.lms._tabular import TabularModel

METER = SilentMeter()
LETTERS = "ab.1234"


def text(tokens: Sequence[int]) -> str:
    return "".join(LETTERS[token] for token in tokens)


def model(seed: int = 0, vocabulary: int = 4) -> TabularModel:
    return TabularModel(vocabulary, 2, seed=seed, end=vocabulary - 1)


def test_one_trial_of_best_of_is_the_inner_decoder() -> None:
    prompts = [Prompt((0, 1), 12)] * 5
    plain = Sample().decode(model(), prompts, seeds=range(5), meter=METER)
    best = BestOf(trials=1).decode(model(), prompts, seeds=range(5), meter=METER)
    assert [item.tokens for item in best] == [item.tokens for item in plain]


@pytest.mark.parametrize("by", ["mean", "sum"])
def test_best_of_keeps_the_trial_of_the_highest_likelihood(by: str) -> None:
    lm, prompt = model(1), Prompt((0, 1), 8)
    seen: list[float] = []

    class Watched:
        def decode(self, *args: object, **kwargs: object) -> object:
            found = Sample().decode(*args, **kwargs)  # type: ignore[arg-type]
            for values in output_logprobs(lm, prompt, found, METER):
                seen.append(sum(values) / (len(values) if by == "mean" else 1))
            return found

    (best,) = Chooser(Watched(), 6, by).decode(lm, [prompt], seeds=[3], meter=METER)  # type: ignore[arg-type]
    assert best.extra["score"] == pytest.approx(max(seen))
    assert best.extra["score"] > min(seen)


def test_teacher_forced_log_probabilities_are_the_tables() -> None:
    lm, prompt = model(2), Prompt((0, 1), 6)
    (found,) = Sample().decode(lm, [prompt], seeds=[1], meter=METER)
    (values,) = output_logprobs(lm, prompt, [found], METER)
    context = [0, 1]
    for token, value in zip(found.tokens, values, strict=False):
        assert value == pytest.approx(np.log(lm.probabilities(context)[token]), abs=1e-5)
        context.append(token)
    assert len(values) == len(found.tokens) + (found.finished == "eos")


def test_the_majority_answer_wins_over_the_first() -> None:
    lm = model(5, 7)
    prompts = [Prompt((0, 1), 10)] * 20
    voter = Voter(Sample(), 15, r"[1-4]", text)
    for prompt, item, seed in zip(
        prompts, voter.decode(lm, prompts, seeds=range(20), meter=METER), range(20), strict=True
    ):
        trials = Voter(Sample(), 15, r"[1-4]", text).inner.decode(
            lm, [prompt] * 15, seeds=[trial_seed(seed, trial) for trial in range(15)], meter=METER
        )
        answers = [found[-1] for trial in trials if (found := [mark for mark in text(trial.tokens) if mark in "1234"])]
        said = [mark for mark in text(item.tokens) if mark in "1234"]
        assert answers.count(said[-1]) == max(map(answers.count, answers))


def test_a_broken_pattern_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no regular expression"):
        SelfConsistency(pattern="[")


@pytest.mark.parametrize("method", [CautiousNextToken(trials=1), CautiousNextToken(low=98.0, high=99.0)])
def test_cautious_decoding_with_one_trial_is_plain_sampling_from_the_same_seed(method: CautiousNextToken) -> None:
    lm, prompts = model(1), [Prompt((0, 1), 15), Prompt((2,), 0), Prompt((1, 1, 1), 1)]
    plain = Sample().decode(lm, prompts, seeds=[5, 6, 7], meter=METER)
    cautious = Cautious(method, text).decode(lm, prompts, seeds=[5, 6, 7], meter=METER)
    assert [item.tokens for item in cautious] == [item.tokens for item in plain]


def test_cautious_decoding_at_temperature_zero_is_greedy() -> None:
    lm, prompts = model(1), [Prompt((0, 1), 15)]
    greedy = Greedy().decode(lm, prompts, seeds=[0], meter=METER)
    cautious = Cautious(CautiousNextToken(temperature=0.0), text).decode(lm, prompts, seeds=[0], meter=METER)
    assert cautious[0].tokens == greedy[0].tokens


@pytest.mark.parametrize("rule", ["code", "paper"])
def test_the_number_of_trials_never_falls_as_entropy_rises(rule: str) -> None:
    counts = [CautiousNextToken(rule=rule).count(entropy) for entropy in np.linspace(0, 3, 200)]  # type: ignore[arg-type]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 10)


def test_the_two_published_rules_differ_as_published() -> None:
    code, paper = CautiousNextToken(rule="code"), CautiousNextToken(rule="paper")
    # half-way between Hmin 0.01 and Hmax 1.5 with Nmax 10: int(1 + 9 / 2) against floor(10 / 2)
    assert (code.count(0.755), paper.count(0.755)) == (5, 5)
    assert (code.count(0.2), paper.count(0.2)) == (2, 1)


def test_cautious_decoding_keeps_surer_text_than_sampling() -> None:
    lm = TabularModel(7, 2, seed=4)
    prompts = [Prompt((0, 1), 30)] * 60

    def surety(items: Sequence[object]) -> float:
        return float(np.mean([np.mean(output_logprobs(lm, prompts[0], [item], METER)[0]) for item in items]))  # type: ignore[list-item]

    plain = Sample().decode(lm, prompts, seeds=range(60), meter=METER)
    cautious = Cautious(CautiousNextToken(), text).decode(lm, prompts, seeds=range(60), meter=METER)
    assert surety(cautious) > surety(plain) + 0.1
    assert all(item.extra["cost"] > 1 and len(item.tokens) == 30 for item in cautious)


def test_an_average_of_a_model_with_itself_is_the_model() -> None:
    lm, prompt = model(3), Prompt((0, 1), 9)
    (alone,) = Sample().decode(lm, [prompt], seeds=[2], meter=METER)
    (twice,) = Averaging(Sample(), (lm,)).decode(lm, [prompt], seeds=[2], meter=METER)
    assert twice.tokens == alone.tokens


def test_the_ensembles_law_is_the_mean_of_the_laws() -> None:
    first, second = model(1), model(2)
    both = AverageModel((first, second))
    step = both.step(both.start(1, 4), [[0, 1]])
    expected = (first.probabilities([0, 1]) + second.probabilities([0, 1])) / 2
    assert torch.softmax(step.logits[0, -1], -1).numpy() == pytest.approx(expected, abs=1e-6)


def test_models_of_different_vocabularies_are_not_averaged() -> None:
    with pytest.raises(UsageError, match="cannot be averaged"):
        AverageModel((model(1, 4), model(1, 5)))


def test_rescoring_with_full_weight_orders_by_the_second_model() -> None:
    lm, judge, prompt = model(1), model(5), Prompt((0, 1), 3)
    (found,) = Rescoring(BeamSearch(width=30, nbest=30), judge, 1.0).decode(lm, [prompt], seeds=[0], meter=METER)
    (first,) = BeamSearch(width=30, nbest=30).decode(lm, [prompt], seeds=[0], meter=METER)
    scores = [score for _, score in found.alternatives]
    assert scores == sorted(scores, reverse=True)
    assert sorted(item for item, _ in found.alternatives) == sorted(item for item, _ in first.alternatives)
    assert found.tokens == found.alternatives[0][0] != first.tokens


def test_cautious_trials_draw_independently_of_the_steps_around_them() -> None:
    """After a first token out of four, all punctuation so that a trial is one token, comes a fair coin of two."""

    def law(texts: Sequence[Sequence[int]]) -> torch.Tensor:
        out = np.full((len(texts), 6), -50.0)
        for row, found in zip(out, texts, strict=True):
            row[slice(2, 6) if len(found) == 1 else slice(0, 2)] = 0.0
        return torch.from_numpy(out)

    lm = RecomputedModel(law, 6, frozenset(), 1 << 20)
    decoder = Cautious(CautiousNextToken(trials=2, high=1.2), lambda tokens: "".join("ab.,;!"[item] for item in tokens))
    said = decoder.decode(lm, [Prompt((0,), 2)] * 2000, seeds=list(range(2000)), meter=METER)
    count = Counter(item.tokens for item in said)
    heads = np.array([[count[first, coin] for coin in (0, 1)] for first in range(2, 6)])
    # with shared numbers each row was all heads or all tails
    assert stats.chi2_contingency(heads).pvalue > 1e-3
    assert heads.min() > 150


def test_trials_of_trials_never_repeat_a_seed() -> None:
    seen: list[int] = []

    class Seeds:
        def decode(
            self, lm: object, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: object
        ) -> list[Decoded]:
            seen.extend(seeds)
            return Sample().decode(model(), prompts, seeds=seeds, meter=METER)

    Chooser(Chooser(Seeds(), 3, "mean"), 4, "mean").decode(model(), [Prompt((0, 1), 3)], seeds=[11], meter=METER)
    assert len(set(seen)) == len(seen) == 12
    assert trial_seed(11, 0) == 11
    # a plain decoder's trials are those of before
    assert trial_seed(11, 1) == 9080609714381269916
