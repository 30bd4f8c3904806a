"""How much less surprising the nouns of the second list are than those of the first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from harness.api.metrics import Array, Metric
from harness.api.types import Example, Response, Scored

# N examples, S statistics of one example, R resamples


@final
@dataclass(frozen=True, slots=True)
class RepeatSurprisal(Metric):
    """Median over trials of 100 * mean surprisal of the second list / mean surprisal of the first; in %.

    A noun's surprisal is the sum of -ln p over the tokens whose characters overlap the noun, so a leading space and
    any split into sub-tokens belong to it, and commas do not. The first noun of each list is left out: nothing
    predicts which list comes. Trials of another condition do not count.

    Armeni, Honey, Linzen 2022, "Characterizing Verbatim Short-Term Memory in Neural Language Models", CoNLL.
    Differs from the paper: none.
    """

    condition: str  # "repeat", "permute" or "novel"

    higher_is_better = False
    unit = "%"
    scale = (math.inf, 0.0)

    @property
    def name(self) -> str:
        """The condition's name."""
        return self.condition

    @property
    def signature(self) -> str:
        """Condition, unit of surprisal aggregation, and version."""
        return f"repeat_surprisal|condition:{self.condition}|first_noun:excluded|reduce:median|version:1"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """The trial's repeat surprisal in %; NaN for another condition."""
        if example.target["condition"] != self.condition:
            return np.array([np.nan])
        answer = responses[0]
        if not isinstance(answer, Scored):
            raise TypeError(f"repeat surprisal measures log-probabilities, not {type(answer).__name__}")
        first = noun_surprisals(answer, example.target["first"])
        second = noun_surprisals(answer, example.target["second"])
        return np.array([percent(sum(second[1:]), sum(first[1:]))])

    def reduce(self, statistics: Array) -> float:
        """Median over trials."""
        return float(np.median(statistics[:, 0]))

    def resample(self, statistics: Array, draws: NDArray[np.int64]) -> Array:
        """Medians of all resamples at once."""
        return np.asarray(np.median(statistics[draws, 0], axis=1))


def noun_surprisals(scored: Scored, nouns: Sequence[Sequence[int]]) -> list[float]:
    """Surprisal in nats of each noun, given its [start, end) characters within the continuation."""
    return [
        sum(
            -logprob
            for logprob, (start, end) in zip(scored.logprobs, scored.spans, strict=True)
            # a byte-level token may cover no whole character: it belongs where it starts
            if start < stop and max(end, start + 1) > begin
        )
        for begin, stop in nouns
    ]


def percent(second: float, first: float) -> float:
    """100 * second / first; two equal sums (both 0, both infinite) are no drop at all: 100."""
    if second == first:
        return 100.0
    if first == 0.0:
        return math.inf
    return 100.0 * second / first
