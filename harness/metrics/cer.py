"""cer: character error rate, the sum of character edits over the sum of reference lengths."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.registry import metric
from harness.metrics._error_rate import ErrorRate, Form


@metric(version=1)
class CharacterErrorRate(ErrorRate):
    """Levenshtein distance over code points / reference code points, micro-averaged; equal to `jiwer.cer`."""

    ignore_case: bool = False
    unicode: Form = "none"  # "NFC" where composed and decomposed accents should be equal

    @property
    def name(self) -> str:
        """Column name."""
        return "cer"

    @property
    def folding(self) -> tuple[bool, Form]:
        """Parameters of both sides."""
        return self.ignore_case, self.unicode

    def units(self, text: str) -> Sequence[str]:
        """Code points."""
        return text
