"""overlong_rate: the share of generations much longer than their longest reference."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._texts import texts


@metric(version=1)
class OverlongRate(MeanMetric):
    """1 when a generation has more than `factor` times the characters of its longest reference, else 0."""

    factor: float = 2.0  # repetition loops run to the token limit, far beyond twice

    higher_is_better = False
    scale = (1.0, 0.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "overlong_rate"

    @property
    def signature(self) -> str:
        """Name and factor."""
        return f"overlong_rate|factor:{self.factor:g}"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Compare stripped lengths."""
        hypothesis, references = texts(self.name, example, responses)
        return float(len(hypothesis.strip()) > self.factor * max(len(item.strip()) for item in references))
