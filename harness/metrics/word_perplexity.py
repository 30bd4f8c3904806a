"""word_perplexity: exponential of the negative log-probability a word."""

from __future__ import annotations

from math import inf

from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._likelihood import Likelihood, Unit, exponential


@metric(version=1, paper="Gao et al. 2021, lm-evaluation-harness")
class WordPerplexity(Likelihood):
    """exp(-sum log p / sum of words), lm-eval's `word_perplexity`."""

    scale = (inf, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "word_perplexity"

    @property
    def per(self) -> Unit:
        """Divisor."""
        return "word"

    def from_rate(self, nats: Array) -> Array:
        """Value of a mean."""
        return exponential(nats)
