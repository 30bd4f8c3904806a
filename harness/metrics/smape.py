"""smape: symmetric mean absolute percentage error of a forecast, in %."""

from __future__ import annotations

import numpy as np

from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._forecast_error import ForecastError


@metric(version=1, paper="Makridakis and Hibon 2000 (M3); as in M4")
class SymmetricPercentageError(ForecastError):
    """mean 200 |y - f| / (|y| + |f|), a value of 0 / 0 counting as 0; from 0 to 200."""

    unit = "%"
    scale = (200.0, 0.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "smape"

    def errors(self, forecast: Array, truth: Array) -> Array:
        """Error of each value."""
        size = np.abs(truth) + np.abs(forecast)
        return np.asarray(200.0 * np.abs(truth - forecast) / np.where(size > 0, size, 1.0))
