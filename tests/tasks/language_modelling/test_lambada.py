"""LAMBADA: the last word and what comes before it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.api.errors import UsageError
from harness.api.types import Example, Score, Scored
from harness.metrics.greedy_accuracy import GreedyAccuracy
from harness.metrics.perplexity import Perplexity
from harness.sources import DataSources
from harness.tasks.language_modelling.lambada import Lambada


@pytest.mark.parametrize(("text", "start"), [("openai", "In my palm"), ("standard", "in my palm")])
def test_the_last_word_is_the_continuation(real_sources: DataSources, text: str, start: str) -> None:
    examples = list(Lambada(text=text).examples("test", 0, real_sources))  # type: ignore[arg-type]
    assert len(examples) == 5153
    request = examples[0].requests[0]
    assert isinstance(request, Score)
    assert (request.continuation, examples[0].target) == (" signs", "signs")
    assert request.context.startswith(start)
    assert request.context.endswith("care about")


def test_the_openai_text_has_no_validation_split(real_sources: DataSources) -> None:
    with pytest.raises(UsageError, match="text=openai has no split 'validation'; it has test"):
        next(Lambada().examples("validation", 0, real_sources))
    assert next(Lambada(text="standard").examples("validation", 0, real_sources)).target


def test_a_word_is_predicted_when_all_its_tokens_are_greedy() -> None:
    example = Example("0", (Score("a", " b"),), "b")
    assert GreedyAccuracy().value(example, [Scored((-9.0,), ((0, 2),), greedy=True)]) == 1.0
    assert GreedyAccuracy().value(example, [Scored((-0.1,), ((0, 2),), greedy=False)]) == 0.0


def test_perplexity_is_the_geometric_mean_of_inverse_probabilities() -> None:
    metric = Perplexity()
    statistics = np.array(
        [metric.measure(Example("", ()), [Scored((math.log(p), 0.0), ((0, 1), (1, 2)))]) for p in (0.5, 0.125)]
    )
    assert metric.reduce(statistics) == pytest.approx(4.0)
    assert metric.reduce(np.array([[1e9, 1.0]])) == math.inf
