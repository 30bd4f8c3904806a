"""series/euclidean_1nn: the class of the nearest training case, step by step, without any warping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.api.protocols import Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget
from harness.models.series._cases import Cases, Scorer, Series, SeriesLearner, by_class, stretched


@model(
    doors=("label",),
    paper="Dau et al. 2019, The UCR Time Series Archive, arXiv:1810.07758 (its first baseline)",
    licence="Apache-2.0",
    learns=True,
    differs="series of unequal length are stretched to the longest training length",
)
class Euclidean1NN(SeriesLearner):
    """argmin over training cases of the Euclidean distance of the raw values; the floor that warping must beat.

    Dau et al. 2019, "The UCR Time Series Archive".
    Differs from the paper: series of unequal length are stretched to the longest training length.
    """

    def fitted(self, cases: Cases, *, seed: int, budget: Budget, setting: Setting, meter: Meter) -> Scorer:
        """Remember the cases."""
        known_MF = stretched(cases.series, cases.longest).reshape(len(cases.series), -1)

        def score(series: Sequence[Series]) -> NDArray[np.float64]:
            rows = (row.ravel() for row in stretched(series, cases.longest))
            return np.stack(
                [by_class(-np.linalg.norm(known_MF - row, axis=1), cases.labels, cases.classes) for row in rows]
            )

        return score
