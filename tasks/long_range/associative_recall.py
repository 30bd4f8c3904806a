"""Whether a model returns the value that it saw with a key (multi-query associative recall)."""

from __future__ import annotations

import numpy as np

from harness.api.registry import task
from harness.api.types import Label
from harness.tasks.long_range._drawn import Drawn, DrawnTask


@task(
    version=1,
    doors=("label",),
    paper="Arora et al. 2023, Zoology: Measuring and Improving Recall, arXiv:2312.04927",
    licence="Apache-2.0 (generated)",
    differs="queries follow the pairs at once, in random order, without filler between them",
)
class AssociativeRecall(DrawnTask):
    """Pairs k1 v1 ... kP vP, then all keys in another order; at each query the label is its value.

    Keys and values come from disjoint alphabets of `alphabet` symbols each. `test_pairs` (0: as in training) asks for
    more pairs than training showed.
    Differs from the paper: queries follow the pairs at once, without filler between them.
    """

    pairs: int = 8
    test_pairs: int = 0
    alphabet: int = 16

    def __post_init__(self) -> None:
        """Refuse more pairs than keys."""
        super().__post_init__()
        if not 1 <= max(self.pairs, self.test_pairs) <= self.alphabet or min(self.pairs, self.test_pairs + 1) < 1:
            raise ValueError("associative_recall needs 1 <= pairs <= alphabet, for training and for test.")

    @property
    def chance(self) -> float:
        """Any value."""
        return 1 / self.alphabet

    def draw(self, rng: np.random.Generator, split: str) -> Drawn:
        """Distinct keys with independent values."""
        pairs = self.test_pairs or self.pairs if split == "test" else self.pairs
        keys = rng.permutation(self.alphabet)[:pairs]
        values = rng.integers(0, self.alphabet, pairs)
        order = rng.permutation(pairs)
        # interleaved pairs, values moved behind the keys' alphabet, then the queries
        shown = np.stack([keys, values + self.alphabet], 1).reshape(-1)
        sequence = np.concatenate([shown, keys[order]])
        positions = tuple(range(2 * pairs, 3 * pairs))
        request = Label(sequence, self.alphabet, 2 * self.alphabet, positions)
        return Drawn(request, [int(value) for value in values[order]], {"pairs": str(pairs)})
