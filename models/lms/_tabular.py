"""What is the smallest language model whose law is known exactly? A random Markov chain.

Decoders are proven on it: with V tokens and order n every joint probability can be enumerated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness.models.lms._recomputed import RecomputedModel, TextState

# V vocabulary, n order, N texts
TabularState = TextState


class TabularModel(RecomputedModel):
    """p(next | last n tokens) from a table drawn once from `seed`; shorter contexts are padded with token 0.

    `sharpness` scales the logits: 0 is uniform, large values are nearly deterministic. Token `end`, when given,
    is the end-of-sequence token.
    """

    def __init__(
        self, vocabulary: int, order: int, seed: int, *, sharpness: float = 1.0, end: int | None = None
    ) -> None:
        super().__init__(self._law, vocabulary, frozenset() if end is None else frozenset({end}), 1 << 20)
        self.order = order
        shape = (vocabulary,) * order + (vocabulary,)
        self.table = sharpness * np.random.default_rng(seed).standard_normal(shape)

    def logits(self, context: Sequence[int]) -> NDArray[np.float64]:
        """Logits [V] after a context."""
        key = ((0,) * self.order + tuple(context))[len(context) :] if self.order else ()
        return np.asarray(self.table[key])

    def probabilities(self, context: Sequence[int]) -> NDArray[np.float64]:
        """Next-token law [V]."""
        weights = np.exp(self.logits(context) - self.logits(context).max())
        return np.asarray(weights / weights.sum())

    def joint(self, context: Sequence[int], length: int) -> dict[tuple[int, ...], float]:
        """Probability of every continuation of `length` tokens, cut after the first end token."""
        law: dict[tuple[int, ...], float] = {}
        for path in itertools.product(range(self.vocabulary), repeat=length):
            chance = 1.0
            kept: list[int] = []
            for token in path:
                chance *= float(self.probabilities([*context, *kept])[token])
                kept.append(token)
                if token in self.eos:
                    break
            # every completion of an ended path repeats it; only the first one counts
            law.setdefault(tuple(kept), chance)
        return law

    def _law(self, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.from_numpy(np.stack([self.logits(text) for text in texts]))
