"""reference_error: how far a kernel's outputs and gradients lie from its float64 definition."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._measured import measured


@metric(version=1, paper="none")
class ErrorAgainstReference(MeanMetric):
    """The largest relative Frobenius error of any output or gradient of an example; the mean over examples."""

    higher_is_better = False

    @property
    def name(self) -> str:
        """Column name."""
        return "reference_error"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """The example's largest error."""
        return measured(self.name, responses).error
