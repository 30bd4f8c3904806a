"""pearson: linear correlation of the model's numbers with the targets."""

from __future__ import annotations

from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._agreement import Correlation, Similarity, product_moment


@metric(version=1, paper="Pearson 1895")
class Pearson(Correlation):
    """sum (x - mx)(y - my) / sqrt(sum (x - mx)² sum (y - my)²); equal to `scipy.stats.pearsonr`."""

    similarity: Similarity = "cosine"

    @property
    def name(self) -> str:
        """Column name."""
        return "pearson"

    @property
    def closeness(self) -> Similarity:
        """Parameter."""
        return self.similarity

    def correlate(self, first_RN: Array, second_RN: Array) -> Array:
        """Correlation of each row."""
        return product_moment(first_RN, second_RN)
