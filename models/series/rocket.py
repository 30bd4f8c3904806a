"""series/rocket: random convolutional features and a ridge classifier."""

from __future__ import annotations

from typing import Any

from harness.api.registry import model
from harness.models.series._convolutions import ConvolutionLearner


@model(
    doors=("label",),
    paper="Dempster, Petitjean, Webb 2020, ROCKET, arXiv:1910.13051",
    licence="BSD-3-Clause (aeon)",
    learns=True,
    differs="series of unequal length are stretched to the longest training length; at most `kernels` kernels",
)
class Rocket(ConvolutionLearner):
    """Maximum and share of positive values of each of `kernels` random convolutions (aeon), then a ridge classifier.

    Its strength is chosen by leave-one-out on the training cases, among ten values from 1e-3 to 1e3.

    Dempster, Petitjean, Webb 2020, "ROCKET".
    Differs from the paper: series of unequal length are stretched to the longest training length.
    """

    def transform(self, module: Any, seed: int) -> Any:
        """Aeon's."""
        return module.Rocket(n_kernels=self.kernels, random_state=seed)
