"""Whether a model follows a product of permutations."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np

from harness.api.registry import task
from harness.api.types import Label
from harness.tasks.long_range._drawn import Drawn, DrawnTask


@task(
    version=1,
    doors=("label",),
    paper="Merrill et al. 2024, The Illusion of State in State-Space Models, arXiv:2404.08819",
    licence="Apache-2.0 (generated)",
    differs="none",
)
class StateTracking(DrawnTask):
    """The word problem of S3 or S5: tokens are permutations, the label of a position is the product of all up to it.

    S3 has 6 elements and S5 has 120, of which the second is beyond what fixed-depth parallel models can express.
    Differs from the paper: none.
    """

    group: Literal["s3", "s5"] = "s3"
    length: int = 32  # permutations of a training sequence
    test_length: int = 64  # permutations of a test sequence

    def __post_init__(self) -> None:
        """Refuse empty words."""
        super().__post_init__()
        if min(self.length, self.test_length) < 1:
            raise ValueError("state_tracking needs lengths of 1 or more.")

    @property
    def chance(self) -> float:
        """Every element is equally likely."""
        return 1 / len(elements(self.group))

    def draw(self, rng: np.random.Generator, split: str) -> Drawn:
        """Uniform elements and their running product."""
        table = elements(self.group)
        places = {element: index for index, element in enumerate(table)}
        word = rng.integers(0, len(table), self.test_length if split == "test" else self.length)
        state, labels = tuple(range(len(table[0]))), []
        for index in word:
            state = tuple(table[index][item] for item in state)
            labels.append(places[state])
        request = Label(word, len(table), len(table), tuple(range(len(word))))
        return Drawn(request, labels, {})


def elements(group: str) -> list[tuple[int, ...]]:
    """The permutations of three or of five things, in lexicographic order."""
    return list(itertools.permutations(range(3 if group == "s3" else 5)))
