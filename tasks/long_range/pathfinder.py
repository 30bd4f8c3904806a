"""Whether a model sees that two marked points lie on one dashed curve."""

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
    paper="Linsley et al. 2018, arXiv:1805.08315; Tay et al. 2021 (LRA), arXiv:2011.04006",
    licence="Apache-2.0 (generated)",
    differs="own drawing code with the published settings; the official image files are not used",
    chance=0.5,
)
class Pathfinder(DrawnTask):
    """A 32 x 32 image as 1,024 grey values; the label is 1 when one curve of 14 dashes joins the two marks.

    The published base Transformer reaches 71.40 %.
    Differs from the paper: own drawing code with the published settings.
    """

    size: int = 32  # pixels a side
    dashes: int = 14  # of a long curve (LRA's hard setting)

    def __post_init__(self) -> None:
        """Refuse curves that cannot fit."""
        super().__post_init__()
        if self.size < 16 or not 2 <= self.dashes <= self.size * self.size // 64:
            raise ValueError("pathfinder needs size >= 16 and 2 <= dashes <= size^2 / 64.")

    @property
    def reference_parameters(self) -> int:
        """Size of the base Transformer of the release."""
        return transformer_parameters(vocabulary=256, classes=2, width=128, inner=64, mlp=128, layers=1, positions=1024)

    def draw(self, rng: np.random.Generator, split: str) -> Drawn:
        """Joined or not, by a fair coin."""
        joined = bool(rng.integers(2))
        pixels = image(rng, self.size, self.dashes, joined).reshape(-1, 1) / 255.0
        return Drawn(Label(pixels, 2, shape=(self.size, self.size)), int(joined), {})
