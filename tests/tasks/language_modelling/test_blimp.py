"""BLiMP: 67 paradigms, each counting the same."""

from __future__ import annotations

import numpy as np
import pytest

from harness.api.errors import UsageError
from harness.api.types import Example, Score, Scored
from harness.metrics.macro_accuracy import MacroAccuracy
from harness.sources import DataSources
from harness.tasks.language_modelling.blimp import Blimp


def test_all_paradigms_have_the_same_number_of_pairs(real_sources: DataSources) -> None:
    examples = list(Blimp(pairs=3).examples("test", 0, real_sources))
    assert len(examples) == 67 * 3
    assert len({example.tags["paradigm"] for example in examples}) == 67


def test_the_grammatical_sentence_comes_first(real_sources: DataSources) -> None:
    first = next(Blimp(paradigm="adjunct_island").examples("test", 0, real_sources))
    assert first.requests == (
        Score(" ", "Who should Derek hug after shocking Richard?"),
        Score(" ", "Who should Derek hug Richard after shocking?"),
    )


def test_an_unknown_paradigm_is_refused_with_the_known_ones(real_sources: DataSources) -> None:
    with pytest.raises(UsageError, match="no paradigm 'islands'; it has adjunct_island, "):
        list(Blimp(paradigm="islands").examples("test", 0, real_sources))


def test_a_small_paradigm_counts_as_much_as_a_large_one() -> None:
    metric = MacroAccuracy(tag="paradigm")
    right, wrong = (Scored((-1.0,), ((0, 1),)), Scored((-2.0,), ((0, 1),))), None
    wrong = right[::-1]
    statistics = np.array(
        [metric.measure(Example("", (), 0, {"paradigm": "large"}), right) for _ in range(9)]
        + [metric.measure(Example("", (), 0, {"paradigm": "small"}), wrong)]
    )
    assert metric.reduce(statistics) == 0.5
    # a resample that misses a paradigm is the mean over those it holds
    assert metric.resample(statistics, np.array([[0] * 10, [9] * 10, [0, 9] * 5])).tolist() == [1.0, 0.0, 0.5]


def test_a_tie_is_the_first_sentences() -> None:
    metric = MacroAccuracy(tag="paradigm")
    same = (Scored((-1.0,), ((0, 1),)), Scored((-1.0,), ((0, 1),)))
    assert metric.measure(Example("", (), 0, {"paradigm": "a"}), same)[1] == 1.0
