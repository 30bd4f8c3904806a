"""What is the mean of the rank correlations of several sets? Nothing, until every set is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from harness.api import rank_correlation
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
        held_SN = [statistics[:, 0] == place for place in range(len(self.sets))]
        values_R = np.empty(len(draws))
        for part, counts_RN in rank_correlation.counts(draws, len(statistics)):
            values_R[part] = np.mean(
                [
                    rank_correlation.spearman(statistics[held_N, 1], statistics[held_N, 2], counts_RN[:, held_N])
                    for held_N in held_SN
                ],
                axis=0,
            )
        return values_R
