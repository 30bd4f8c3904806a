"""One token at a time: exact on a model whose law is known, whatever the batch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from harness.api.errors import UsageError
from harness.api.protocols import SilentMeter
from harness.api.types import Prompt
from harness.models.decoders.greedy import Greedy
from harness.models.decoders.sample import Sample
from harness.models.lms._tabular import TabularModel

METER = SilentMeter()


def test_nothing_asked_for_is_nothing_said() -> None:
    lm = TabularModel(5, 2, seed=0)
    found = Greedy().decode(lm, [Prompt((1,), 0), Prompt((), 3)], seeds=[0, 0], meter=METER)
    assert [(answer.tokens, answer.calls, answer.finished) for answer in found] == [((), 0, "length")] * 2
    assert Greedy().decode(lm, [], seeds=[], meter=METER) == []


def test_greedy_follows_the_arg_max_and_counts_its_calls() -> None:
    lm = TabularModel(6, 2, seed=1)
    context, expected = [3, 1], []
    for _ in range(12):
        expected.append(int(lm.logits([*context, *expected]).argmax()))
    answer = Greedy().decode(lm, [Prompt((3, 1), 12)], seeds=[0], meter=METER)[0]
    assert list(answer.tokens) == expected
    assert (answer.accepted, answer.calls, answer.finished) == ((1,) * 12, 12, "length")


def test_an_end_token_is_counted_but_not_kept() -> None:
    lm = TabularModel(4, 0, seed=2)
    end = int(lm.logits([]).argmax())
    lm = TabularModel(4, 0, seed=2, end=end)
    answer = Greedy().decode(lm, [Prompt((1,), 5)], seeds=[0], meter=METER)[0]
    assert (answer.tokens, answer.accepted, answer.finished) == ((), (1,), "eos")


def test_a_complete_stop_ends_a_row_and_no_other() -> None:
    lm = TabularModel(6, 1, seed=3)
    free, stopped = Greedy().decode(
        lm, [Prompt((2,), 9), Prompt((2,), 9, lambda tokens: len(tokens) == 4)], seeds=[0, 0], meter=METER
    )
    assert stopped.tokens == free.tokens[:4]
    assert (free.finished, stopped.finished) == ("length", "stop")


@pytest.mark.parametrize("rows", [1, 2, 3, 32])
def test_rows_that_leave_and_enter_change_nothing(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.decoders._stepwise.ROWS", rows)
    monkeypatch.setattr("harness.models.decoders._stepwise.PREFILL_TOKENS", 5)
    lm = TabularModel(7, 2, seed=4, end=0)
    prompts = [Prompt(tuple(1 + (i + j) % 6 for j in range(1 + i % 4)), 3 * i % 11 + 1) for i in range(9)]
    for method in (Greedy(), Sample(temperature=1.5)):
        alone = [method.decode(lm, [prompt], seeds=[i], meter=METER)[0] for i, prompt in enumerate(prompts)]
        assert method.decode(lm, prompts, seeds=list(range(9)), meter=METER) == alone


def test_samples_have_the_joint_law_of_the_model() -> None:
    lm = TabularModel(4, 2, seed=5)
    draws = 20_000
    found = Sample().decode(lm, [Prompt((1, 2), 2)] * draws, seeds=list(range(draws)), meter=METER)
    law = lm.joint([1, 2], 2)
    counts = Counter(answer.tokens for answer in found)
    observed = np.array([counts[key] for key in law], dtype=float)
    assert chisquare(observed, draws * np.array(list(law.values()))).pvalue > 1e-3


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-9}, {"min_p": 0.999}])
def test_the_narrowest_truncation_is_greedy(options: dict[str, float]) -> None:
    lm = TabularModel(8, 2, seed=6)
    sampled = Sample(**options).decode(lm, [Prompt((1,), 15)], seeds=[3], meter=METER)  # type: ignore[arg-type]
    assert sampled[0].tokens == Greedy().decode(lm, [Prompt((1,), 15)], seeds=[0], meter=METER)[0].tokens


def test_top_k_keeps_the_k_likeliest_and_may_exceed_the_vocabulary() -> None:
    lm = TabularModel(6, 0, seed=7)
    best = set(np.argsort(lm.logits([]))[-2:].tolist())
    drawn = Sample(top_k=2).decode(lm, [Prompt((1,), 200)], seeds=[0], meter=METER)[0].tokens
    assert set(drawn) == best
    assert len(Sample(top_k=100).decode(lm, [Prompt((1,), 5)], seeds=[0], meter=METER)[0].tokens) == 5


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UsageError, match="0 < top_p"):
        Sample(top_p=0.0)
