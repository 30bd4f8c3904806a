"""How can anything that maps whole texts to next-token logits be driven by decoders? A TokenModel without a cache.

The state is the text itself; every step recomputes. That is slow and plainly right, which is what small trained models
and exact tabular ones need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.api.errors import UsageError
from harness.api.types import Step, Want
from harness.models.lms._llama import NonFiniteError

# N texts, V vocabulary
LAST = Want()
Law = Callable[[Sequence[Sequence[int]]], Tensor]


@dataclass(frozen=True, slots=True)
class TextState:
    """Tokens of every row, and their number before the last step."""

    rows: tuple[tuple[int, ...], ...]
    before: tuple[int, ...]


class RecomputedModel:
    """`law(texts)` gives logits [N, V] after each of N texts; a subclass only says what its law is."""

    def __init__(self, law: Law, vocabulary: int, eos: frozenset[int], context_length: int) -> None:
        self.law, self.vocabulary, self.eos, self.context_length = law, vocabulary, eos, context_length

    def start(self, rows: int, capacity: int) -> TextState:
        """Empty rows."""
        return TextState(((),) * rows, (0,) * rows)

    def step(
        self,
        state: TextState,
        tokens: Sequence[Sequence[int]],
        want: Want = LAST,
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        """Append tokens; logits as wanted, ragged rows padded with zeros. No hidden states or attention.

        Errors: NonFiniteError when a logit is NaN or infinite, as every TokenModel raises it.
        """
        if want.hidden or want.attention:
            raise UsageError("a model that is recomputed has no hidden states and no attention to show.")
        after = TextState(
            tuple(old + tuple(new) for old, new in zip(state.rows, tokens, strict=True)),
            tuple(len(old) for old in state.rows),
        )
        if want.logits == "none":
            return Step(after)
        places = [_places(len(new), want) for new in tokens]
        texts = [
            (*state.rows[row], *_path(tokens[row], parents[row] if parents else None, place))
            for row, chosen in enumerate(places)
            for place in chosen
        ]
        longest = max(map(len, places), default=0)
        logits = torch.zeros(len(tokens), longest, self.vocabulary)
        if texts:
            found = self.law(texts)
            if not bool(torch.isfinite(found).all()):
                raise NonFiniteError("a logit is not finite")
            owners = [(row, slot) for row, chosen in enumerate(places) for slot in range(len(chosen))]
            rows, slots = zip(*owners, strict=True)
            logits[list(rows), list(slots)] = found.float().cpu()
        return Step(after, logits)

    def length(self, state: TextState) -> list[int]:
        """Tokens in each row."""
        return [len(row) for row in state.rows]

    def rewind(self, state: TextState, lengths: Sequence[int]) -> TextState:
        """Cut each row."""
        return replace(state, rows=tuple(row[:keep] for row, keep in zip(state.rows, lengths, strict=True)))

    def keep_path(self, state: TextState, paths: Sequence[Sequence[int]]) -> TextState:
        """Keep the chosen ones of the last step's tokens."""
        rows = tuple(
            row[:start] + tuple(row[start + index] for index in path)
            for row, start, path in zip(state.rows, state.before, paths, strict=True)
        )
        return replace(state, rows=rows)

    def select(self, state: TextState, rows: Sequence[int]) -> TextState:
        """Copy rows."""
        return TextState(tuple(state.rows[row] for row in rows), tuple(state.before[row] for row in rows))


def _places(count: int, want: Want) -> list[int]:
    """Positions among a row's new tokens whose logits are wanted; a row without new tokens has none."""
    if want.logits == "all" or not count:
        return list(range(count))
    return [count - 1] if want.logits == "last" else [int(place) for place in want.logits]


def _path(tokens: Sequence[int], parents: Sequence[int] | None, index: int) -> list[int]:
    if parents is None:
        return list(tokens[: index + 1])
    path = []
    while index >= 0:
        path.append(tokens[index])
        index = parents[index]
    return path[::-1]
