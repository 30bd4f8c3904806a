"""word_accuracy: one less the word error rate (insertions count against it, so that it can fall below zero)."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._error_rate import ErrorRate, Form


@metric(version=1)
class WordAccuracy(ErrorRate):
    """(N - substitutions - deletions - insertions) / N over N reference words; 1 - `jiwer.wer`.

    A script without spaces (Chinese, Thai) makes a sentence one word, here as in jiwer: use cer there.
    """

    ignore_case: bool = False
    unicode: Form = "none"

    higher_is_better = True
    scale = (-inf, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "word_accuracy"

    @property
    def folding(self) -> tuple[bool, Form]:
        """Parameters of both sides."""
        return self.ignore_case, self.unicode

    def units(self, text: str) -> Sequence[str]:
        """Words between white space."""
        return text.split()

    def from_totals(self, totals: Array, count: Array) -> Array:
        """One less the error rate."""
        return 1.0 - super().from_totals(totals, count)
