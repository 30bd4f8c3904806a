"""byte_perplexity: exponential of the negative log-probability a byte."""

from __future__ import annotations

from math import inf

from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._likelihood import Likelihood, Unit, exponential


@metric(version=1, paper="Gao et al. 2021, lm-evaluation-harness")
class BytePerplexity(Likelihood):
    """exp(-sum log p / sum of UTF-8 bytes), lm-eval's `byte_perplexity`."""

    scale = (inf, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "byte_perplexity"

    @property
    def per(self) -> Unit:
        """Divisor."""
        return "byte"

    def from_rate(self, nats: Array) -> Array:
        """Value of a mean."""
        return exponential(nats)
