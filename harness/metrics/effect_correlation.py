"""effect_correlation: whether the items that surprise the model most are those with the largest published effect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.metrics import Array, TotalsMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics.surprisal_effect import SurprisalEffect


@metric(version=1, paper="Huang et al. 2024, Journal of Memory and Language 137")
class EffectCorrelation(TotalsMetric):
    """Pearson's r over items between the model's surprisal effect and a published effect, each summed over regions.

    r = cov(x, y) / sqrt(var(x) var(y)). The statistics are x, y, x^2, y^2 and xy, so that resampling is one
    product. NaN when either effect is the same for all items.
    """

    reference: str  # a key of the target: human (ms), gpt2 or lstm (bits)

    higher_is_better = True
    scale = (-1.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return f"r_{self.reference}"

    @property
    def signature(self) -> str:
        """Name and reference."""
        return f"effect_correlation|reference:{self.reference}|pearson|version:1"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Powers of the two effects."""
        x = SurprisalEffect(region="all").value(example, responses)
        y = float(sum(example.target[self.reference]))
        return np.array([x, y, x * x, y * y, x * y])

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Pearson's r from the means of the powers."""
        x, y, xx, yy, xy = np.moveaxis(totals / np.asarray(count)[..., None], -1, 0)
        variances = (xx - x * x) * (yy - y * y)
        # rounding leaves a variance of about 1e-16 where there is none
        flat = variances <= 1e-12 * np.maximum(xx * yy, 1e-300)
        r = (xy - x * y) / np.sqrt(np.where(flat, 1.0, variances))
        return np.asarray(np.where(flat, np.nan, np.clip(r, -1.0, 1.0)))
