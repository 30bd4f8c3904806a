"""sequence_accuracy: the share of examples whose whole sequence is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Labelled, Response
from harness.metrics._texts import texts


@metric(version=1)
class SequenceAccuracy(MeanMetric):
    """1 when every character (of a generation) or the arg-max at every position (of a labelling) is right, else 0.

    Outer white space of texts is stripped; with several references any of them will do.
    """

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "sequence_accuracy"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Compare everything."""
        answer = responses[0]
        if isinstance(answer, Labelled):
            scores = np.atleast_2d(answer.scores)
            right = scores.argmax(axis=-1) == np.atleast_1d(np.asarray(example.target))
            return float(right.all() and not np.isnan(scores).any())
        hypothesis, references = texts(self.name, example, responses)
        return float(hypothesis.strip() in [reference.strip() for reference in references])
