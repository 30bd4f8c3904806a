"""perplexity: exponential of the mean negative log-probability of a text, each text counting once."""

from __future__ import annotations

from math import inf

from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._likelihood import Likelihood, Unit, exponential


@metric(version=1, paper="Gao et al. 2021, lm-evaluation-harness")
class Perplexity(Likelihood):
    """exp(-mean log p(text)), lm-eval's `perplexity` (LAMBADA's target words)."""

    scale = (inf, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "perplexity"

    @property
    def per(self) -> Unit:
        """Divisor."""
        return "text"

    def from_rate(self, nats: Array) -> Array:
        """Value of a mean."""
        return exponential(nats)
