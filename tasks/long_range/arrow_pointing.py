"""Whether a model sees that an arrow points at a circle, also in larger images than it was trained on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from harness.api.registry import task
from harness.api.types import Label
from harness.tasks.long_range._drawn import Drawn, DrawnTask


@task(
    version=1,
    doors=("label",),
    paper="Poeppel et al. 2025 (pLSTM), arXiv:2506.11997",
    licence="Apache-2.0 (generated)",
    differs="small images (24 pixels, 48 at test; the paper has 192 and 384), drawn by our own code",
    chance=0.5,
)
class ArrowPointing(DrawnTask):
    """An arrow and a circle; the label is 1 when the ray of the arrow meets the circle. Train at 1x, test at 2x size.

    Where it does not point, the arrow is turned by 45 to 315 degrees, so no label hangs on a pixel. The sizes of arrow
    and circle stay the same in larger images; only the distances grow.
    A token is a pixel, or a square `patch` of pixels, row by row.
    Differs from the paper: images of 24 pixels, 48 at test, in place of 192 and 384.
    """

    size: int = 24  # pixels a side
    test_size: int = 48  # pixels a side
    patch: int = 1  # pixels a side of what one token shows (16 in the paper, 12 tokens a side in training)

    def __post_init__(self) -> None:
        """Refuse images without room for both, or that patches do not fill."""
        super().__post_init__()
        if min(self.size, self.test_size) < 16:
            raise ValueError("arrow_pointing needs sizes of 16 pixels or more.")
        if self.patch < 1 or self.size % self.patch or self.test_size % self.patch:
            raise ValueError("arrow_pointing needs a patch that divides both sizes.")

    def draw(self, rng: np.random.Generator, split: str) -> Drawn:
        """Pointing or not, by a fair coin."""
        size = self.test_size if split == "test" else self.size
        pointing = bool(rng.integers(2))
        while True:
            arrow, circle = rng.uniform(4, size - 4, 2), rng.uniform(3, size - 3, 2)
            if np.hypot(*(circle - arrow)) >= 8:
                break
        angle = math.atan2(circle[0] - arrow[0], circle[1] - arrow[1])
        if not pointing:
            angle += rng.uniform(math.pi / 4, 2 * math.pi - math.pi / 4)
        side = size // self.patch
        blocks = draw_scene(size, arrow, angle, circle).reshape(side, self.patch, side, self.patch)
        tokens = blocks.swapaxes(1, 2).reshape(side * side, self.patch**2)
        return Drawn(Label(tokens, 2, shape=(side, side)), int(pointing), {"size": str(size)})


def draw_scene(size: int, arrow: NDArray[np.float64], angle: float, circle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grey values [size, size]: a shaft with a head of two strokes, and a ring."""
    rows, columns = np.mgrid[:size, :size].astype(np.float64)
    picture = np.clip(1.5 - np.abs(np.hypot(rows - circle[0], columns - circle[1]) - 2.0), 0, 1)
    ahead = np.array([math.sin(angle), math.cos(angle)])
    tip, tail = arrow + 3.0 * ahead, arrow - 3.0 * ahead
    strokes = [(tail, tip)]
    for side in (2.5, -2.5):
        back = np.array([math.sin(angle + side), math.cos(angle + side)])
        strokes.append((tip, tip + 2.5 * back))
    for start, end in strokes:
        along = end - start
        share = np.clip(((rows - start[0]) * along[0] + (columns - start[1]) * along[1]) / (along @ along), 0, 1)
        distance = np.hypot(rows - start[0] - share * along[0], columns - start[1] - share * along[1])
        picture = np.maximum(picture, np.clip(1.2 - distance, 0, 1))
    return np.asarray(picture)
