"""Whether a model sees the same over 16,384 pixels."""

from __future__ import annotations

import numpy as np

from harness.api.registry import task
from harness.api.types import Label
from harness.tasks.long_range._curves import image
from harness.tasks.long_range._drawn import Drawn, DrawnTask
from harness.tasks.long_range._reference import transformer_parameters


@task(
    version=1,
    doors=("label",),
    paper="Tay et al. 2021 (LRA), arXiv:2011.04006",
    licence="Apache-2.0 (generated)",
    differs="own drawing code with the published settings; the official image files are not used",
    chance=0.5,
)
class PathX(DrawnTask):
    """Pathfinder on 128 x 128 images, 16,384 grey values; no model of the paper rises above chance.

    Differs from the paper: own drawing code with the published settings.
    """

    dashes: int = 14  # of a long curve

    @property
    def reference_parameters(self) -> int:
        """Size of the base Transformer of the release."""
        return transformer_parameters(
            vocabulary=256, classes=2, width=32, inner=16, mlp=32, layers=1, positions=16384, marker=False
        )

    def draw(self, rng: np.random.Generator, split: str) -> Drawn:
        """Joined or not, by a fair coin."""
        joined = bool(rng.integers(2))
        pixels = image(rng, 128, self.dashes, joined).reshape(-1, 1) / 255.0
        return Drawn(Label(pixels, 2, shape=(128, 128)), int(joined), {})
