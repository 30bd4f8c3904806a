"""empty_rate: the share of generations that hold nothing but white space."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Generated, Response


@metric(version=1)
class EmptyRate(MeanMetric):
    """1 for a blank generation, else 0; blank generations stay in every other metric too."""

    higher_is_better = False
    scale = (1.0, 0.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "empty_rate"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Look for any visible character."""
        answer = responses[0]
        if not isinstance(answer, Generated):
            raise TypeError(f"empty_rate measures generations, not {type(answer).__name__}")
        return float(not answer.text.strip())
