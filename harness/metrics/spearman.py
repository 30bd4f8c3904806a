"""spearman: rank correlation of the model's numbers with the targets."""

from __future__ import annotations

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

    def correlate(self, first_RN: Array, second_RN: Array) -> Array:
        """Correlation of each row."""
        from scipy.stats import rankdata

        return product_moment(rankdata(first_RN, axis=-1), rankdata(second_RN, axis=-1))
