"""Whether a model remembers the tokens that matter and skips the rest."""

from __future__ import annotations

import numpy as np

from harness.api.registry import task
from harness.api.types import Label
from harness.tasks.long_range._drawn import Drawn, DrawnTask


@task(
    version=1,
    doors=("label",),
    paper="Jing et al. 2019; Gu & Dao 2023 (Mamba), arXiv:2312.00752",
    licence="Apache-2.0 (generated)",
    differs="shorter by default (128 tokens; the Mamba paper uses 4,096)",
)
class SelectiveCopying(DrawnTask):
    """`items` data tokens at random places among noise, then as many copy marks; at mark i the label is item i.

    Tokens 0..symbols-1 are data, `symbols` is noise, `symbols` + 1 is the mark.
    Differs from the paper: 128 tokens by default, where the Mamba paper has 4,096.
    """

    items: int = 8
    symbols: int = 16
    length: int = 128  # tokens before the marks

    def __post_init__(self) -> None:
        """Refuse more items than places."""
        super().__post_init__()
        if not 1 <= self.items <= self.length or self.symbols < 2:
            raise ValueError("selective_copying needs 1 <= items <= length and symbols >= 2.")

    @property
    def chance(self) -> float:
        """Any symbol."""
        return 1 / self.symbols

    def draw(self, rng: np.random.Generator, split: str) -> Drawn:
        """Items in the order of their places."""
        items = rng.integers(0, self.symbols, self.items)
        sequence = np.full(self.length + self.items, self.symbols)
        sequence[np.sort(rng.permutation(self.length)[: self.items])] = items
        sequence[self.length :] = self.symbols + 1
        positions = tuple(range(self.length, len(sequence)))
        request = Label(sequence, self.symbols, self.symbols + 2, positions)
        return Drawn(request, [int(item) for item in items], {})
