"""Which class or choice did a model pick, and was it the target? Arg-maxima, with stated ties and NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import HarnessError
from harness.api.metrics import Array
from harness.api.types import Example, Labelled, Response, Scored


def class_hits(metric: str, example: Example, responses: Sequence[Response]) -> NDArray[np.bool_] | None:
    """Whether each position's arg-max is right, [positions] (one for a whole sequence); None for no labelling."""
    answer = responses[0]
    if not isinstance(answer, Labelled):
        return None
    scores = np.asarray(answer.scores, dtype=np.float64)
    if scores.ndim == 1:
        return np.array([hit(scores, example.target) > 0])
    targets = np.atleast_1d(np.asarray(example.target))
    if targets.shape != scores.shape[:1]:
        raise HarnessError(
            f"{metric}: example {example.id!r} has {len(targets)} targets but scores at {len(scores)} positions."
        )
    return np.asarray((scores.argmax(axis=-1) == targets) & ~np.isnan(scores).any(axis=-1))


def totals(metric: str, responses: Sequence[Response]) -> Array:
    """Log-probability of each choice, [choices]."""
    values = [answer.total for answer in responses if isinstance(answer, Scored)]
    if len(values) != len(responses):
        raise TypeError(f"{metric} measures class scores or scored choices, not {type(responses[0]).__name__}")
    return np.array(values)


def hit(scores: Array, target: Any) -> float:
    """1.0 when the arg-max is the target index (or one of several); NaN anywhere is wrong."""
    right = {int(index) for index in np.atleast_1d(np.asarray(target))}
    return float(not np.isnan(scores).any() and int(np.argmax(scores)) in right)
