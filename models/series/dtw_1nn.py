"""series/dtw_1nn: the class of the nearest training case under dynamic time warping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.api.protocols import Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget
from harness.models.series._cases import Cases, Scorer, Series, SeriesLearner, aeon_version, by_class, library


@model(
    doors=("label",),
    paper="Sakoe, Chiba 1978; Shokoohi-Yekta et al. 2017 (channels warped together)",
    licence="BSD-3-Clause (aeon)",
    learns=True,
    differs="none",
)
class Dtw1NN(SeriesLearner):
    """argmin over training cases of DTW(series, case) by aeon: all channels share one warping path (DTW_D), raw values.

    Class scores are minus the smallest distance to a case of each class. Nothing is selected: `window` (share of the
    length that the path may leave the diagonal by; 1 is no limit) is given, not tuned.

    Sakoe, Chiba 1978; Shokoohi-Yekta et al. 2017.
    Differs from the paper: none.
    """

    window: float = 1.0

    def __post_init__(self) -> None:
        """Refuse windows that are no share."""
        if not 0.0 <= self.window <= 1.0:
            raise ValueError(f"window={self.window} is not between 0 and 1.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Version of this file and of aeon."""
        return {"version": "1", "aeon": aeon_version()}

    def fitted(self, cases: Cases, *, seed: int, budget: Budget, setting: Setting, meter: Meter) -> Scorer:
        """Remember the cases."""
        distances, window = library("aeon.distances"), None if self.window == 1.0 else self.window

        def score(series: Sequence[Series]) -> NDArray[np.float64]:
            found_NM = distances.pairwise_distance(list(series), list(cases.series), method="dtw", window=window)
            return np.stack([by_class(-row, cases.labels, cases.classes) for row in found_NM])

        return score
