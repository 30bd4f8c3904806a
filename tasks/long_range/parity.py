"""Whether a model counts modulo two further than it was trained to."""

from __future__ import annotations

import numpy as np

from harness.api.registry import task
from harness.api.types import Label
from harness.tasks.long_range._drawn import Drawn, DrawnTask


@task(
    version=1,
    doors=("label",),
    paper="Beck et al. 2024 (xLSTM), arXiv:2405.04517; Grazzi et al. 2024, arXiv:2411.12537",
    licence="Apache-2.0 (generated)",
    differs="every position is supervised, and accuracy is read at far positions, where the papers grade the last",
    chance=0.5,
)
class Parity(DrawnTask):
    """Random bits; the label of each position is the parity of all bits up to it.

    Training sequences have `length` bits, all graded. Test sequences have `test_length`, graded from position `first`
    on: a model that keeps one bit of state generalises, one that counts by attention or decay does not.
    Differs from the paper: every position is supervised, and far positions are read in place of the last one.
    """

    length: int = 40  # bits
    test_length: int = 256  # bits
    first: int = 128  # first graded position of a test sequence

    def __post_init__(self) -> None:
        """Refuse lengths that leave nothing to grade."""
        super().__post_init__()
        if self.length < 1 or not 0 <= self.first < self.test_length:
            raise ValueError("parity needs length >= 1 and 0 <= first < test_length.")

    def draw(self, rng: np.random.Generator, split: str) -> Drawn:
        """Fair bits and their running parity."""
        far = split == "test"
        bits = rng.integers(0, 2, self.test_length if far else self.length)
        positions = tuple(range(self.first if far else 0, len(bits)))
        labels = np.cumsum(bits) % 2
        request = Label(bits, 2, 2, positions)
        return Drawn(request, [int(labels[place]) for place in positions], {})
