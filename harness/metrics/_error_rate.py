"""What part of the reference was got wrong? Edits over reference length, summed before dividing."""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections.abc import Sequence
from math import inf
from typing import Literal

import numpy as np

from harness.api.metrics import Array, TotalsMetric
from harness.api.types import Example, Response
from harness.metrics._edit_distance import edit_distance
from harness.metrics._texts import texts

Form = Literal["none", "NFC", "NFKC"]


class ErrorRate(TotalsMetric):
    """Sum of edits / sum of reference lengths; with several references the one with the fewest edits counts.

    Equal to jiwer: outer white space is stripped first. A reference without units counts its insertions over a
    length of 0; where no example has a unit, the length is taken as 1, so that the value stays finite.
    """

    higher_is_better = False
    scale = (inf, 0.0)

    @property
    @abstractmethod
    def folding(self) -> tuple[bool, Form]:
        """Whether case is ignored, and the Unicode normal form that both sides are brought to."""

    @abstractmethod
    def units(self, text: str) -> Sequence[str]:
        """The characters or words that are counted."""

    @property
    def signature(self) -> str:
        """Name, case rule, Unicode form."""
        ignore_case, form = self.folding
        return f"{self.name}|case:{'lower' if ignore_case else 'mixed'}|unicode:{form}|average:micro|strip:yes"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Edits and reference length."""
        hypothesis, references = texts(self.name, example, responses)
        guess = self.units(self._fold(hypothesis))
        sides = [self.units(self._fold(reference)) for reference in references]
        counts = [(edit_distance(guess, side), -len(side)) for side in sides]
        edits, length = min(counts)
        return np.array([edits, -length], dtype=np.float64)

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Edits over length."""
        return np.asarray(totals[..., 0] / np.maximum(totals[..., 1], 1.0))

    def _fold(self, text: str) -> str:
        ignore_case, form = self.folding
        folded = text if form == "none" else unicodedata.normalize(form, text)
        return (folded.lower() if ignore_case else folded).strip()
