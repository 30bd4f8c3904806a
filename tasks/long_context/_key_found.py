"""Whether the model returned the key that its prompt hides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from harness.api.metrics import MeanMetric
from harness.api.types import Example, Generated, Response, Scored

FIVE_DIGITS = re.compile(r"(?<![0-9])[0-9]{5}(?![0-9])")


@final
@dataclass(frozen=True, slots=True)
class KeyFound(MeanMetric):
    """Share of prompts whose key was returned; ratio in [0, 1].

    A generation counts when its first number of exactly five ASCII digits is the key, whatever stands around it.
    Scored keys count when the true key (the first request) is strictly likelier than every distractor.
    """

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "key_found"

    @property
    def signature(self) -> str:
        """Name and rule."""
        return "key_found|generate:first five-digit number|score:strictly highest|version:1"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """1 when the key was found, else 0."""
        answer = responses[0]
        if isinstance(answer, Generated):
            number = FIVE_DIGITS.search(answer.text)
            return float(number is not None and number.group() == example.target)
        totals = [response.total for response in responses if isinstance(response, Scored)]
        if len(totals) != len(example.requests):
            raise TypeError(f"key_found measures generations or log-probabilities, not {type(answer).__name__}")
        return float(all(totals[0] > other for other in totals[1:]))
