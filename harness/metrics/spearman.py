"""spearman: rank correlation of the model's numbers with the targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.api import rank_correlation
from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._agreement import Correlation, Similarity, product_moment


@metric(version=1, paper="Spearman 1904")
class Spearman(Correlation):
    """Pearson's correlation of ranks, ties sharing their mean rank; equal to `scipy.stats.spearmanr`."""

    similarity: Similarity = "cosine"

    @property
    def name(self) -> str:
        """Column name."""
        return "spearman"

    @property
    def closeness(self) -> Similarity:
        """Parameter."""
        return self.similarity

    def resample(self, statistics: Array, draws: NDArray[np.int64]) -> Array:
        """Values [R] from how often each pair is drawn: a tenth of the time of ranking every resample anew."""
        values = np.empty(len(draws))
        for part, counts in rank_correlation.counts(draws, len(statistics)):
            values[part] = rank_correlation.spearman(statistics[:, 0], statistics[:, 1], counts)
        return values

    def correlate(self, first_RN: Array, second_RN: Array) -> Array:
        """Correlation of each row."""
        from scipy.stats import rankdata

        return product_moment(rankdata(first_RN, axis=-1), rankdata(second_RN, axis=-1))
