"""wer: word error rate, the sum of word edits over the sum of reference words."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.registry import metric
from harness.metrics._error_rate import ErrorRate, Form


@metric(version=1)
class WordErrorRate(ErrorRate):
    """Levenshtein distance over white-space words / reference words, micro-averaged; equal to `jiwer.wer`.

    A script without spaces (Chinese, Thai) makes a sentence one word, here as in jiwer: use cer there.
    """

    ignore_case: bool = False
    unicode: Form = "none"

    @property
    def name(self) -> str:
        """Column name."""
        return "wer"

    @property
    def folding(self) -> tuple[bool, Form]:
        """Parameters of both sides."""
        return self.ignore_case, self.unicode

    def units(self, text: str) -> Sequence[str]:
        """Words between white space."""
        return text.split()
