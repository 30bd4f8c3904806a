"""greedy_accuracy: the share of continuations whose every token is the model's first choice."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._scored import scored


@metric(version=1, paper="Paperno et al. 2016, arXiv:1606.06031")
class GreedyAccuracy(MeanMetric):
    """1 when greedy decoding would have written the continuation, else 0: lm-eval's `acc` of LAMBADA."""

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "greedy_accuracy"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Whether the first continuation is greedy."""
        return float(scored(self.name, responses)[0].greedy)
