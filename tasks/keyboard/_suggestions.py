"""How good a bar of suggested words is: is the wanted word on it, and how many key presses does it save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from harness.api.metrics import Array, MeanMetric, TotalsMetric
from harness.api.types import Example, Response, Scored


@final
@dataclass(frozen=True, slots=True)
class TopWords(MeanMetric):
    """Share of words that are among the `shown` likeliest candidates; ratio in [0, 1]. Ties count against the word."""

    shown: int

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return f"top{self.shown}"

    @property
    def signature(self) -> str:
        """Name and tie rule."""
        return f"top{self.shown}|ties:against|version:1"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """1 when the word is on the bar."""
        return float(rank(example, responses) <= self.shown)


@final
@dataclass(frozen=True, slots=True)
class KeystrokesSaved(TotalsMetric):
    """Key presses saved by tapping a suggestion / presses of typing the word and a space; ratio in [0, 1).

    A word of n letters of which p are typed costs n + 1 presses, or p + 1 when it is among the `shown` suggestions.
    """

    shown: int

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "keystrokes_saved"

    @property
    def signature(self) -> str:
        """Bar size and tie rule."""
        return f"keystrokes_saved|shown:{self.shown}|ties:against|version:1"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Presses saved, and presses of typing everything."""
        word, typed = example.target["word"], example.target["typed"]
        saved = len(word) - typed if rank(example, responses) <= self.shown else 0
        return np.array([saved, len(word) + 1], dtype=np.float64)

    def from_totals(self, totals: Array, count: NDArray[np.float64]) -> Array:
        """Saved over all."""
        return np.asarray(totals[..., 0] / totals[..., 1])


def rank(example: Example, responses: Sequence[Response]) -> int:
    """Place of the wanted word among the candidates by log-probability, 1 for the likeliest."""
    totals = [answer.total for answer in responses if isinstance(answer, Scored)]
    if len(totals) != len(example.requests):
        raise TypeError("suggestions are ranked by log-probabilities, one response a candidate.")
    wanted = totals[example.target["place"]]
    return 1 + sum(not total < wanted for place, total in enumerate(totals) if place != example.target["place"])
