"""mae: mean absolute error of a forecast."""

from __future__ import annotations

import numpy as np

from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._forecast_error import ForecastError


@metric(version=1)
class MeanAbsoluteError(ForecastError):
    """mean |y - f| over steps, channels and examples."""

    @property
    def name(self) -> str:
        """Column name."""
        return "mae"

    def errors(self, forecast: Array, truth: Array) -> Array:
        """Error of each value."""
        return np.abs(truth - forecast)
