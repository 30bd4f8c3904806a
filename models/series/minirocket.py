"""series/minirocket: almost deterministic convolutional features and a ridge classifier."""

from __future__ import annotations

from typing import Any

from harness.api.registry import model
from harness.models.series._convolutions import ConvolutionLearner


@model(
    doors=("label",),
    paper="Dempster, Schmidt, Webb 2021, MiniRocket, arXiv:2012.08791",
    licence="BSD-3-Clause (aeon)",
    learns=True,
    differs="series of unequal length are stretched to the longest training length; at most `kernels` kernels",
)
class MiniRocket(ConvolutionLearner):
    """Share of positive values of convolutions with 84 fixed kernels at many dilations and biases (aeon), then ridge.

    Its strength is chosen by leave-one-out on the training cases, among ten values from 1e-3 to 1e3.

    Dempster, Schmidt, Webb 2021, "MiniRocket".
    Differs from the paper: series of unequal length are stretched to the longest training length.
    """

    def transform(self, module: Any, seed: int) -> Any:
        """Aeon's."""
        return module.MiniRocket(n_kernels=self.kernels, random_state=seed)
