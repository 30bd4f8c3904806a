"""chrf: character n-gram F-score by sacrebleu; word_order=2 makes it chrF++."""

from __future__ import annotations

from functools import cache
from typing import Any

from harness.api.registry import metric
from harness.metrics._sacrebleu import SacrebleuMetric


@metric(version=1, paper="Popovic 2015, 2017")
class Chrf(SacrebleuMetric):
    """F_2 of character n-grams (n = 1..6) and, for chrF++, word n-grams (n = 1, 2), counts summed over the corpus."""

    word_order: int = 0  # 2 is chrF++
    lowercase: bool = False
    references: int = 1  # of every example; 0 when it varies

    higher_is_better = True
    scale = (0.0, 100.0)

    @property
    def name(self) -> str:
        """chrf, chrf+ or chrf++ by the word order."""
        return "chrf" + "+" * min(self.word_order, 2)

    @property
    def reference_count(self) -> int:
        """Parameter of the signature."""
        return self.references

    @property
    def engine(self) -> Any:
        """Sacrebleu's CHRF."""
        return _engine(self.word_order, self.lowercase)


@cache
def _engine(word_order: int, lowercase: bool) -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF(word_order=word_order, lowercase=lowercase)
