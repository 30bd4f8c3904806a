"""balanced_accuracy: the mean over classes of the share of each class's examples that are recognised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.metrics import Array, TotalsMetric
from harness.api.registry import metric
from harness.api.types import Example, Label, Labelled, Response
from harness.metrics._choices import hit


@metric(version=1, paper="Brodersen et al. 2010")
class BalancedAccuracy(TotalsMetric):
    """mean_k (right of class k / examples of class k), over the classes that occur; equal to scikit-learn's."""

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "balanced_accuracy"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """[right of each class, examples of each class], one of each being non-zero."""
        request, answer = example.requests[0], responses[0]
        if not isinstance(request, Label) or not isinstance(answer, Labelled):
            raise TypeError(f"balanced_accuracy measures labellings, not {type(answer).__name__}")
        target = int(example.target)
        statistics = np.zeros((2, request.classes))
        statistics[1, target] = 1.0
        statistics[0, target] = hit(np.asarray(answer.scores, dtype=np.float64), target)
        return statistics.ravel()

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Mean recall over the classes that were drawn."""
        right, seen = np.split(totals, 2, axis=-1)
        recall = right / np.maximum(seen, 1.0)
        return np.asarray(recall.sum(axis=-1) / np.maximum((seen > 0).sum(axis=-1), 1))
