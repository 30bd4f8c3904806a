"""How much of what was asked stands in the answer, and how long a text may be before that falls off."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from harness.api.metrics import Array, MeanMetric, Metric
from harness.api.types import Example, Generated, Response


@final
@dataclass(frozen=True, slots=True)
class ValuesFound(MeanMetric):
    """Share of the expected values that stand in the generation as whole words, in any order; ratio in [0, 1].

    Hsieh et al. 2024, "RULER" (string match over all references).
    Differs from the paper: whole words in place of substrings, so that 12 is not found in 3127.
    """

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "values_found"

    @property
    def signature(self) -> str:
        """Name and rule."""
        return "values_found|match:whole words, case ignored|reduce:mean share|version:1"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Share of this example's values."""
        return share_found(example, responses)


@final
@dataclass(frozen=True, slots=True)
class EffectiveLength(Metric):
    """The longest length at which, and at every shorter one, more than `threshold` of the values are found; 0 if none.

    Hsieh et al. 2024, "RULER" (effective length).
    Differs from the paper: a fixed threshold in place of a reference model's score.
    """

    threshold: float = 0.95

    higher_is_better = True
    unit = "words"

    @property
    def name(self) -> str:
        """Column name."""
        return "effective_length"

    @property
    def signature(self) -> str:
        """Name and threshold."""
        return f"effective_length|threshold:>{self.threshold:g}|measure:values_found|version:1"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Length, and the share found."""
        return np.array([float(example.tags["length"]), share_found(example, responses)])

    def reduce(self, statistics: Array) -> float:
        """Walk up the lengths until the first that fails."""
        reached = 0.0
        for length in np.unique(statistics[:, 0]):
            if statistics[statistics[:, 0] == length, 1].mean() <= self.threshold:
                break
            reached = float(length)
        return reached


def share_found(example: Example, responses: Sequence[Response]) -> float:
    """Share of the target's values among the generation's words."""
    answer = responses[0]
    if not isinstance(answer, Generated):
        raise TypeError(f"values_found measures generations, not {type(answer).__name__}")
    words = set(re.findall(r"\w+", answer.text.casefold()))
    values = [str(value).casefold() for value in example.target]
    return sum(value in words for value in values) / len(values)
