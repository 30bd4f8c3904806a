"""accuracy: the share of examples whose highest-scoring class or choice is the target."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._choices import class_hits, hit, totals


@metric(version=1)
class Accuracy(MeanMetric):
    """1 when the arg-max of the class scores, or of several continuations' log-probabilities, is the target.

    The target is a class index (several when any of them is right), or one index a position for a labelling of
    positions, whose accuracy is the mean over its positions. Ties go to the lowest index, as in numpy and lm-eval;
    a score of NaN is wrong.
    """

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "accuracy"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Share of right arg-maxima."""
        hits = class_hits(self.name, example, responses)
        return hit(totals(self.name, responses), example.target) if hits is None else float(hits.mean())
