"""How a number is made from examples: per-example statistics, and the reduction that turns them into a value.

A metric never sees a model. `measure` turns one example and its responses into a fixed-width vector of statistics;
`reduce` turns the statistics of all examples into a value. Intervals, paired tests and re-scoring work on the
statistics alone, so that no model ever runs again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.api.types import Example, Response

# N examples, S statistics of one example, R resamples
Array = NDArray[np.float64]


class Metric(ABC):
    """One number with a direction. Subclasses are final and usually registered with `@metric`.

    An example whose response is a Failure is never measured: the runner counts it instead.
    """

    higher_is_better: bool = True
    unit: str = ""  # "%", "nats", "km"; empty for plain ratios
    scale: tuple[float, float] | None = None  # (worst possible, best possible), where there is one

    @property
    @abstractmethod
    def name(self) -> str:
        """Short column name, unique within a task."""

    @property
    def signature(self) -> str:
        """Everything that could change the value for the same responses (sacrebleu's signature, for instance)."""
        return self.name

    @abstractmethod
    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Statistics [S] of one example; NaN in all of them where the example does not count for this metric."""

    @abstractmethod
    def reduce(self, statistics: Array) -> float:
        """The value from the statistics [N, S] of N >= 1 examples (rows that are all NaN already dropped)."""

    def resample(self, statistics: Array, draws: NDArray[np.int64]) -> Array:
        """Values [R] of the resamples `draws` [R, N] (row indices into `statistics`)."""
        return np.array([self.reduce(statistics[rows]) for rows in draws])


class TotalsMetric(Metric):
    """A metric that is a function of summed statistics (means, BLEU, error rates): resampling is one product."""

    @abstractmethod
    def from_totals(self, totals: Array, count: NDArray[np.float64]) -> Array:
        """Values [...] from summed statistics [..., S] over `count` [...] examples."""

    def reduce(self, statistics: Array) -> float:
        """The value from the column sums."""
        return float(self.from_totals(statistics.sum(axis=0), np.asarray(float(len(statistics)))))

    def resample(self, statistics: Array, draws: NDArray[np.int64]) -> Array:
        """Values [R] by counting how often each row was drawn."""
        resamples, size = draws.shape
        totals = np.empty((resamples, statistics.shape[1]))
        # blocks keep the count matrix under about 64 MB
        block = max(1, 8_000_000 // max(1, len(statistics)))
        for start in range(0, resamples, block):
            part = draws[start : start + block]
            offsets = part + np.arange(len(part))[:, None] * len(statistics)
            counts = np.bincount(offsets.ravel(), minlength=len(part) * len(statistics))
            totals[start : start + block] = counts.reshape(len(part), -1) @ statistics
        return self.from_totals(totals, np.full(resamples, float(size)))


class MeanMetric(TotalsMetric):
    """The mean of one number an example."""

    @abstractmethod
    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """This example's number; NaN when it does not count."""

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """The number as a vector of one."""
        return np.array([self.value(example, responses)], dtype=np.float64)

    def from_totals(self, totals: Array, count: NDArray[np.float64]) -> Array:
        """Sum over count."""
        return np.asarray(totals[..., 0] / count)
