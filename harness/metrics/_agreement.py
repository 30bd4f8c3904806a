"""What number did a model give, and what number was right? Pairs for correlations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.api.metrics import Array, Metric
from harness.api.types import Embedded, Example, Forecasted, Labelled, Response

Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]


class Correlation(Metric):
    """A correlation of the model's numbers with the targets over all examples.

    A pair of embeddings gives its similarity (distances are negated), a single class score or a one-value forecast
    gives itself. Fewer than two examples, or equal numbers on one side, have no correlation: NaN.
    """

    higher_is_better = True
    scale = (-1.0, 1.0)

    @property
    @abstractmethod
    def closeness(self) -> Similarity:
        """How two embeddings are compared."""

    @abstractmethod
    def correlate(self, first_RN: Array, second_RN: Array) -> Array:
        """Correlation [R] of each row."""

    @property
    def signature(self) -> str:
        """Name and similarity."""
        return f"{self.name}|similarity:{self.closeness}"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """The model's number and the target."""
        return np.array([_number(self.name, responses, self.closeness), float(example.target)])

    def reduce(self, statistics: Array) -> float:
        """Correlation of the two columns."""
        return float(self.correlate(statistics[None, :, 0], statistics[None, :, 1])[0])

    def resample(self, statistics: Array, draws: NDArray[np.int64]) -> Array:
        """Values [R], many rows at a time."""
        block = max(1, 2_000_000 // max(1, draws.shape[1]))
        parts = [
            self.correlate(statistics[rows, 0], statistics[rows, 1])
            for rows in (draws[start : start + block] for start in range(0, len(draws), block))
        ]
        return np.concatenate(parts) if parts else np.zeros(0)


def product_moment(first_RN: Array, second_RN: Array) -> Array:
    """Pearson's correlation of each row, [R]; NaN where one side is constant."""
    if first_RN.shape[-1] < 2:
        return np.full(len(first_RN), np.nan)
    left = first_RN - first_RN.mean(axis=-1, keepdims=True)
    right = second_RN - second_RN.mean(axis=-1, keepdims=True)
    # lengths are taken before the product, which would underflow for tiny numbers
    lengths = np.linalg.norm(left, axis=-1), np.linalg.norm(right, axis=-1)
    flat = (np.ptp(first_RN, axis=-1) == 0) | (np.ptp(second_RN, axis=-1) == 0)
    safe = [np.where(flat, 1.0, length)[..., None] for length in lengths]
    values = ((left / safe[0]) * (right / safe[1])).sum(axis=-1)
    return np.asarray(np.where(flat, np.nan, np.clip(values, -1.0, 1.0)))


def _number(metric: str, responses: Sequence[Response], closeness: Similarity) -> float:
    answer = responses[0]
    if isinstance(answer, Embedded) and len(responses) == 2 and isinstance(responses[1], Embedded):
        return _similarity(answer.vector, responses[1].vector, closeness)
    if isinstance(answer, Labelled) and np.size(answer.scores) == 1:
        return float(np.asarray(answer.scores).item())
    if isinstance(answer, Forecasted) and np.size(answer.values) == 1:
        return float(np.asarray(answer.values).item())
    raise TypeError(f"{metric} measures two embeddings or one number, not {len(responses)} {type(answer).__name__}")


def _similarity(first: Array, second: Array, closeness: Similarity) -> float:
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if closeness == "dot":
        return float(left @ right)
    if closeness == "cosine":
        lengths = float(np.linalg.norm(left) * np.linalg.norm(right))
        return float(left @ right) / lengths if lengths > 0 else 0.0
    return -float(np.linalg.norm(left - right, ord=2 if closeness == "euclidean" else 1))
