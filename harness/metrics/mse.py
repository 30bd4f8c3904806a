"""mse: mean squared error of a forecast."""

from __future__ import annotations

import numpy as np

from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._forecast_error import ForecastError


@metric(version=1)
class MeanSquaredError(ForecastError):
    """mean (y - f)² over steps, channels and examples."""

    @property
    def name(self) -> str:
        """Column name."""
        return "mse"

    def errors(self, forecast: Array, truth: Array) -> Array:
        """Error of each value."""
        return np.asarray((truth - forecast) ** 2)
