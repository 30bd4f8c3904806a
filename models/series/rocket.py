"""series/rocket: random convolutional features and a ridge classifier."""

from __future__ import annotations

from collections.abc import Mapping

from harness.api.protocols import Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget
from harness.models.series._cases import Cases, Scorer, SeriesLearner, aeon_version, library
from harness.models.series._ridge import ridge


@model(
    doors=("label",),
    paper="Dempster, Petitjean, Webb 2020, ROCKET, arXiv:1910.13051",
    licence="BSD-3-Clause (aeon)",
    learns=True,
    differs="series of unequal length are stretched to the longest training length; at most `kernels` kernels",
)
class Rocket(SeriesLearner):
    """Maximum and share of positive values of each of `kernels` random convolutions (aeon), then a ridge classifier.

    Its strength is chosen by leave-one-out on the training cases, among ten values from 1e-3 to 1e3.

    Dempster, Petitjean, Webb 2020, "ROCKET".
    Differs from the paper: series of unequal length are stretched to the longest training length.
    """

    kernels: int = 10_000  # the paper's

    def __post_init__(self) -> None:
        """Refuse a transform without kernels."""
        if self.kernels < 84:
            raise ValueError(f"kernels={self.kernels}; give 84 or more.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Version of this file and of aeon."""
        return {"version": "1", "aeon": aeon_version()}

    def fitted(self, cases: Cases, *, seed: int, budget: Budget, setting: Setting, meter: Meter) -> Scorer:
        """Draw kernels by seed, and fit the classifier."""
        module = library("aeon.transformations.collection.convolution_based")
        return ridge(cases, module.Rocket(n_kernels=self.kernels, random_state=seed))
