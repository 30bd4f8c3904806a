"""length_ratio: generated tokens over reference tokens, as sacrebleu prints beside BLEU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.metrics import Array, TotalsMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics.bleu import Bleu, Tokenizer


@metric(version=1)
class LengthRatio(TotalsMetric):
    """Sum of hypothesis lengths / sum of (closest) reference lengths; equal to `BLEUScore.ratio`.

    1 is best, so that neither direction is better; tables show it and never rank by it.
    """

    tokenize: Tokenizer = "13a"

    @property
    def name(self) -> str:
        """Column name."""
        return "length_ratio"

    @property
    def signature(self) -> str:
        """Name and tokenizer."""
        return f"length_ratio|tok:{self.tokenize}|reference:closest"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Hypothesis and reference length."""
        return Bleu(tokenize=self.tokenize, references=0).measure(example, responses)[:2]

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Ratio of sums; 0 where the references are empty, as in sacrebleu."""
        generated, wanted = totals[..., 0], totals[..., 1]
        return np.asarray(np.where(wanted > 0, generated / np.maximum(wanted, 1.0), 0.0))
