"""What is the smallest language model whose law is known exactly? A random Markov chain behind the TokenModel protocol.

Decoders are proven on it: with V tokens and order n every joint probability can be enumerated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from harness.api.errors import UsageError
from harness.api.types import Step, Want
from harness.models.lms._llama import NonFiniteError

# V vocabulary, n order
LAST = Want()


@dataclass(frozen=True, slots=True)
class TabularState:
    """Tokens of every row, and the tree that its last step appended (parents, or None for a chain)."""

    rows: tuple[tuple[int, ...], ...]
    before: tuple[int, ...]  # length of each row before the last step
    tree: tuple[tuple[int, ...] | None, ...]


@final
class TabularModel:
    """p(next | last n tokens) from a table drawn once from `seed`; shorter contexts are padded with token 0.

    `sharpness` scales the logits: 0 is uniform, large values are nearly deterministic. Token `end`, when given,
    is the end-of-sequence token.
    """

    def __init__(
        self, vocabulary: int, order: int, seed: int, *, sharpness: float = 1.0, end: int | None = None
    ) -> None:
        self.vocabulary, self.order, self.context_length = vocabulary, order, 1 << 20
        self.eos: frozenset[int] = frozenset() if end is None else frozenset({end})
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

    def start(self, rows: int, capacity: int) -> TabularState:
        """Empty rows."""
        return TabularState(((),) * rows, (0,) * rows, (None,) * rows)

    def step(
        self,
        state: TabularState,
        tokens: Sequence[Sequence[int]],
        want: Want = LAST,
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        """Append tokens; logits as wanted. There are no hidden states or attention to return.

        Errors: NonFiniteError when a logit is NaN or infinite, as every TokenModel raises it.
        """
        if want.hidden or want.attention:
            raise UsageError("a tabular model has no hidden states and no attention.")
        outputs = []
        for row, new in enumerate(tokens):
            prefix = state.rows[row]
            outputs.append([self.logits([*prefix, *_path(new, parents[row] if parents else None, i)])
                            for i in range(len(new))])  # fmt: skip
        if not all(np.isfinite(logits_V).all() for row in outputs for logits_V in row):
            raise NonFiniteError("a logit is not finite")
        after = TabularState(
            tuple(old + tuple(new) for old, new in zip(state.rows, tokens, strict=True)),
            tuple(len(old) for old in state.rows),
            tuple(tuple(row) for row in parents) if parents else (None,) * len(state.rows),
        )
        return Step(after, _wanted(outputs, want, self.vocabulary))

    def length(self, state: TabularState) -> list[int]:
        """Tokens in each row."""
        return [len(row) for row in state.rows]

    def rewind(self, state: TabularState, lengths: Sequence[int]) -> TabularState:
        """Cut each row."""
        return replace(state, rows=tuple(row[:keep] for row, keep in zip(state.rows, lengths, strict=True)))

    def keep_path(self, state: TabularState, paths: Sequence[Sequence[int]]) -> TabularState:
        """Keep the chosen ones of the last step's tokens."""
        rows = tuple(
            row[:start] + tuple(row[start + index] for index in path)
            for row, start, path in zip(state.rows, state.before, paths, strict=True)
        )
        return replace(state, rows=rows, tree=(None,) * len(rows))

    def select(self, state: TabularState, rows: Sequence[int]) -> TabularState:
        """Copy rows."""
        return TabularState(
            tuple(state.rows[row] for row in rows),
            tuple(state.before[row] for row in rows),
            tuple(state.tree[row] for row in rows),
        )


def _path(tokens: Sequence[int], parents: Sequence[int] | None, index: int) -> list[int]:
    if parents is None:
        return list(tokens[: index + 1])
    path = []
    while index >= 0:
        path.append(tokens[index])
        index = parents[index]
    return path[::-1]


def _wanted(outputs: list[list[NDArray[np.float64]]], want: Want, vocabulary: int) -> torch.Tensor | None:
    if want.logits == "none":
        return None
    longest = max((len(row) for row in outputs), default=0)
    full = torch.zeros(len(outputs), longest, vocabulary)
    for row, values in enumerate(outputs):
        if values:
            full[row, : len(values)] = torch.from_numpy(np.stack(values)).float()
    if want.logits == "all":
        return full
    if want.logits == "last":
        last = torch.tensor([max(0, len(row) - 1) for row in outputs])
        return full[torch.arange(len(outputs)), last][:, None]
    return full[:, list(want.logits)]
