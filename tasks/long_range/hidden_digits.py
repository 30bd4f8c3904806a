"""Whether a small trained model still knows a few digits after more filler than it was trained on."""

from __future__ import annotations

import numpy as np

from harness.api.registry import task
from harness.api.types import Label
from harness.tasks.long_range._drawn import Drawn, DrawnTask


@task(
    version=1,
    doors=("label",),
    paper="Chen et al. 2024, Stuffed Mamba, arXiv:2410.07145; Mohtashami & Jaggi 2023, arXiv:2305.16300",
    licence="Apache-2.0 (generated)",
    differs="symbols in place of English sentences, so that models of a few thousand parameters can learn it",
)
class HiddenDigits(DrawnTask):
    """Random filler, a mark and `digits` digits at a random depth, more filler, then as many questions.

    At question i the label is digit i. Tokens 0..9 are digits, 10 the mark, 11 the question and the `fillers` after
    that are filler. `length` counts every token of a training sequence, `test_length` (0: the same) of a test one.
    Differs from the paper: symbols in place of English sentences; every digit counts on its own.
    """

    digits: int = 5
    length: int = 64  # tokens
    test_length: int = 0  # tokens
    fillers: int = 16

    def __post_init__(self) -> None:
        """Refuse sequences without room for key and questions."""
        super().__post_init__()
        room = 2 * self.digits + 1
        if min(self.digits, self.fillers) < 1 or min(self.length, self.test_length or self.length) < room:
            raise ValueError(f"hidden_digits needs digits and fillers of 1 or more and lengths of {room} or more.")

    @property
    def chance(self) -> float:
        """Any digit."""
        return 0.1

    def draw(self, rng: np.random.Generator, split: str) -> Drawn:
        """A key at a uniform depth."""
        length = self.test_length or self.length if split == "test" else self.length
        asked = length - self.digits
        sequence = rng.integers(12, 12 + self.fillers, length)
        digits = rng.integers(0, 10, self.digits)
        place = int(rng.integers(0, asked - self.digits))
        sequence[place] = 10
        sequence[place + 1 : place + 1 + self.digits] = digits
        sequence[asked:] = 11
        request = Label(sequence, 10, 12 + self.fillers, tuple(range(asked, length)))
        return Drawn(request, [int(digit) for digit in digits], {"length": str(length)})
