"""What is the mean of the rank correlations of several sets? Nothing, until every set is there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from harness.api.metrics import Array, Metric
from harness.api.types import Embedded, Example, Response

# N pairs, S sets


@final
@dataclass(frozen=True, slots=True)
class MeanSpearman(Metric):
    """Mean over the sets of Spearman's correlation of cosine and score; every set weighs the same.

    NaN while a set has fewer than two pairs: a mean over other sets is another number. `tag` names the set.
    """

    sets: tuple[str, ...]
    tag: str = "set"

    higher_is_better = True
    scale = (-1.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "mean_spearman"

    @property
    def signature(self) -> str:
        """Name and sets."""
        return f"mean_spearman|similarity:cosine|sets:{'+'.join(self.sets)}|version:1"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Place of the set, cosine, score."""
        first, second = responses
        if not isinstance(first, Embedded) or not isinstance(second, Embedded):
            raise TypeError(f"mean_spearman measures two vectors, not {type(first).__name__}")
        lengths = float(np.linalg.norm(first.vector) * np.linalg.norm(second.vector))
        cosine = float(np.dot(first.vector, second.vector)) / lengths if lengths else 0.0
        return np.array([float(self.sets.index(example.tags[self.tag])), cosine, float(example.target)])

    def reduce(self, statistics: Array) -> float:
        """Mean of the sets' correlations."""
        return float(self.resample(statistics, np.arange(len(statistics))[None])[0])

    def resample(self, statistics: Array, draws: NDArray[np.int64]) -> Array:
        """Mean correlations of the resamples."""
        return np.array([self._mean(statistics[rows]) for rows in draws])

    def _mean(self, statistics: Array) -> float:
        values = [_spearman(statistics[statistics[:, 0] == place, 1:]) for place in range(len(self.sets))]
        return float(np.mean(values))


def _spearman(pairs_N2: Array) -> float:
    """Pearson's correlation of ranks; NaN where either side has one value alone."""
    if len(pairs_N2) < 2 or np.ptp(pairs_N2[:, 0]) == 0 or np.ptp(pairs_N2[:, 1]) == 0:
        return math.nan
    first, second = (ranks - ranks.mean() for ranks in (_ranks(pairs_N2[:, 0]), _ranks(pairs_N2[:, 1])))
    return float(first @ second / math.sqrt((first @ first) * (second @ second)))


def _ranks(values_N: Array) -> Array:
    """Ranks from 1, ties sharing their mean; a third of the time of scipy's, which counts over 1,000 resamples."""
    order_N = np.argsort(values_N, kind="stable")
    sorted_N = values_N[order_N]
    first_T = np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]))
    counts_T = np.diff(np.append(first_T, len(values_N)))
    ranks_N = np.empty(len(values_N))
    ranks_N[order_N] = np.repeat(first_T + (counts_T + 1) / 2, counts_T)
    return ranks_N
