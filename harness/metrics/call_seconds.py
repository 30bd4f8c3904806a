"""call_seconds: how long one call of a kernel takes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._measured import measured


@metric(version=1, paper="none")
class CallSeconds(MeanMetric):
    """The median over an example's timed calls, in seconds; the mean over examples."""

    higher_is_better = False
    unit = "s"

    @property
    def name(self) -> str:
        """Column name."""
        return "call_seconds"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """The median call."""
        return float(median(measured(self.name, responses).seconds))
