"""Whether a model adds two marked numbers that stand far apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example, Forecast, Forecasted, Response
from harness.tasks.long_range._drawn import SPLITS


@task(
    version=1,
    doors=("forecast",),
    paper="Hochreiter & Schmidhuber 1997; Le et al. 2015, arXiv:1504.00941",
    licence="Apache-2.0 (generated)",
    differs="none",
    chance=0.3333,
)
class Adding:
    """Two channels: uniform numbers in [0, 1), and a mark that is 1 at one place of each half; the answer is the sum.

    Mean squared error; always answering 1 gives 1/6 = 0.167, and a uniform guess in [0, 2) gives 1/2.
    Differs from the paper: none.
    """

    length: int = 100  # steps
    train: int = 5_000  # examples
    validation: int = 500  # examples
    test: int = 1_000  # examples

    def __post_init__(self) -> None:
        """Refuse sequences without two halves."""
        if self.length < 2 or min(self.train, self.validation, self.test) < 1:
            raise ValueError("adding needs length >= 2 and splits of 1 example or more.")

    @property
    def door(self) -> str:
        """A number for a series."""
        return "forecast"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Mean squared error."""
        return ("mse",)

    @property
    def chance(self) -> float:
        """Mean squared error of a guess that is the sum of two other uniform numbers: twice the variance, 1/3."""
        return 1 / 3

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream a split."""
        if split not in SPLITS:
            raise UsageError(f"long_range/adding has no split {split!r}; it has {', '.join(SPLITS)}.")
        for index in range(getattr(self, split)):
            rng = np.random.default_rng([seed, SPLITS.index(split), index])
            numbers, half = rng.random(self.length), self.length // 2
            places = [int(rng.integers(half)), int(rng.integers(half, self.length))]
            marks = np.zeros(self.length)
            marks[places] = 1.0
            yield Example(
                f"{split}-{index}",
                (Forecast(np.stack([numbers, marks], 1), 1),),
                [[float(numbers[places].sum())]],
            )

    def data_digest(self, split: str, sources: Sources) -> str:
        """Generated."""
        return "generated:1"

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """The sum itself."""
        return (Forecasted(np.asarray(example.target, dtype=np.float64)),)

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """The sum of two other numbers."""
        return (Forecasted(np.array([[rng.random() + rng.random()]])),)
