"""macro_accuracy: the mean over the cells of a tag of the accuracy in each cell."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.api.metrics import Array, Metric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._scored import scored


@metric(version=1)
class MacroAccuracy(Metric):
    """Every cell (BLiMP's paradigm, MMLU's subject) counts the same, however many examples it holds.

    An example is right when the choice at the target's index has the highest total log-probability (the first of
    equal ones is chosen, as in lm-eval). The statistics are the cell's checksum and whether the example is right.
    """

    tag: str  # whose values name the cells

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "macro_accuracy"

    @property
    def signature(self) -> str:
        """Name and cells."""
        return f"macro_accuracy|tag:{self.tag}|version:1"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Cell and correctness."""
        totals = [response.total for response in scored(self.name, responses)]
        cell = zlib.crc32(example.tags[self.tag].encode())
        return np.array([float(cell), float(int(np.argmax(totals)) == example.target)])

    def reduce(self, statistics: Array) -> float:
        """Mean of the cells' means."""
        return float(self.resample(statistics, np.arange(len(statistics))[None])[0])

    def resample(self, statistics: Array, draws: NDArray[np.int64]) -> Array:
        """Cell means by counting; a cell of which a resample drew no example is left out of that resample's mean."""
        cells, index = np.unique(statistics[:, 0], return_inverse=True)
        right = statistics[:, 1]
        values = np.empty(len(draws))
        for place, rows in enumerate(draws):
            counts = np.bincount(index[rows], minlength=len(cells))
            sums = np.bincount(index[rows], weights=right[rows], minlength=len(cells))
            values[place] = (sums[counts > 0] / counts[counts > 0]).mean()
        return values
