"""ter: translation edit rate by sacrebleu."""

from __future__ import annotations

from functools import cache
from math import inf
from typing import Any

from harness.api.registry import metric
from harness.metrics._sacrebleu import SacrebleuMetric


@metric(version=1, paper="Snover et al. 2006")
class Ter(SacrebleuMetric):
    """Edits, block shifts among them, over mean reference words, both summed over the corpus, in %.

    Words lie between spaces; `asian_support` with `normalized` makes each Chinese or Japanese character a word. A text
    in another script without spaces (Thai, Khmer) counts as one word: use chrF.
    """

    normalized: bool = False
    asian_support: bool = False  # has no effect without `normalized`
    case_sensitive: bool = False  # sacrebleu's default
    references: int = 1  # of every example; 0 when it varies

    higher_is_better = False
    scale = (inf, 0.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "ter"

    @property
    def reference_count(self) -> int:
        """Parameter of the signature."""
        return self.references

    @property
    def engine(self) -> Any:
        """Sacrebleu's TER."""
        return _engine(self.normalized, self.asian_support, self.case_sensitive)


@cache
def _engine(normalized: bool, asian_support: bool, case_sensitive: bool) -> Any:
    from sacrebleu.metrics import TER

    return TER(normalized=normalized, asian_support=asian_support, case_sensitive=case_sensitive)
