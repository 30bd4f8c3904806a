"""How far is a forecast from what happened? Errors summed over all steps and channels of all examples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import inf

import numpy as np

from harness.api.errors import HarnessError
from harness.api.metrics import Array, TotalsMetric
from harness.api.types import Example, Forecasted, Response


class ForecastError(TotalsMetric):
    """Mean of an error over every forecast value; a missing (NaN) truth does not count, a NaN forecast is an error.

    The target is [H, C], or [H] for one channel, in the units of the series (a task that scales says so).
    """

    higher_is_better = False
    scale = (inf, 0.0)

    @abstractmethod
    def errors(self, forecast: Array, truth: Array) -> Array:
        """Error of each value."""

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Sum of errors and number of values."""
        answer = responses[0]
        if not isinstance(answer, Forecasted):
            raise TypeError(f"{self.name} measures forecasts, not {type(answer).__name__}")
        forecast = np.asarray(answer.values, dtype=np.float64)
        truth = np.asarray(example.target, dtype=np.float64)
        truth = truth[:, None] if truth.ndim == 1 and forecast.ndim == 2 else truth
        if forecast.shape != truth.shape:
            raise HarnessError(
                f"{self.name}: example {example.id!r} wants {truth.shape} but the forecast is {forecast.shape}."
            )
        known = ~np.isnan(truth)
        if np.isnan(forecast[known]).any():
            raise HarnessError(f"{self.name}: the forecast of example {example.id!r} holds NaN.")
        return np.array([self.errors(forecast[known], truth[known]).sum(), known.sum()], dtype=np.float64)

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Mean over values; 0 where no value is known."""
        return np.asarray(totals[..., 0] / np.maximum(totals[..., 1], 1.0))
