"""target_calls: how often the target model ran for one example."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._generated import generated


@metric(version=1, paper="Leviathan, Kalman, Matias 2023, Fast Inference from Transformers, arXiv:2211.17192")
class TargetCalls(MeanMetric):
    """Target-model calls of an example, prefill included, over all its turns; mean over examples."""

    higher_is_better = False
    unit = "calls"

    @property
    def name(self) -> str:
        """Column name."""
        return "target_calls"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Calls over the turns."""
        return float(sum(answer.calls for answer in generated(self.name, responses)))
