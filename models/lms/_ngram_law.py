"""How a decoder drives the n-gram model: the law of the next token id, behind the TokenModel protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch

from harness.api.errors import UsageError
from harness.api.types import Step, Want
from harness.models.lms._kneser_ney import Floats, KneserNey
from harness.models.lms._word_pieces import CLOSE, END, UNKNOWN, WordPieces

# V vocabulary (words, closing mark, bytes), B batch
LAST = Want()
IMPOSSIBLE = -1e9  # logit of an id that cannot come; finite, so that entropies and temperatures stay finite
LONGEST = 1 << 20  # tokens; the model itself looks back a few


@dataclass(frozen=True, slots=True)
class Rows:
    """Tokens of every row, and how many there were before the last step."""

    tokens: tuple[tuple[int, ...], ...]
    before: tuple[int, ...]


@final
class NgramLaw:
    """A word model whose unknown piece is spelled byte by byte by a second model.

    p(word | h) = p_KN(word | h); p(byte | h) = p_KN(unknown | h) q(byte | start) / (1 - q(close | start)) begins a
    spelled piece, q(. | bytes so far) continues or closes it. Both parts sum to 1 after every history.
    """

    def __init__(self, pieces: WordPieces, words: KneserNey, letters: KneserNey) -> None:
        self.pieces, self.words, self.letters = pieces, words, letters
        self.vocabulary, self.eos, self.context_length = pieces.size, frozenset({END}), LONGEST
        self._first = letters.law([])
        self._first[CLOSE] = 0.0
        self._first /= self._first.sum()

    def law(self, ids: Sequence[int]) -> Floats:
        """p(next id | ids) [V]."""
        history, spelled = self.pieces.history(ids, self.words.order - 1)
        law = np.zeros(self.vocabulary)
        known = self.pieces.word_symbols
        if spelled is not None:
            law[known:] = self.letters.law(spelled)
            return law
        law[:known] = self.words.law(history)
        law[known:] = law[UNKNOWN] * self._first
        law[UNKNOWN] = 0.0
        return law

    def piece(self, history: Sequence[int], symbol: int, spelled: Sequence[int]) -> float:
        """Log-probability of a whole piece after word symbols; `spelled`: bytes and closing mark of an unknown one."""
        total = float(np.log(self.words.probability(history, symbol)))
        if symbol == UNKNOWN:
            total += float(np.log(self._first[spelled[0]]))
            for place in range(1, len(spelled)):
                total += float(np.log(self.letters.probability(spelled[:place], spelled[place])))
        return total

    def start(self, rows: int, capacity: int) -> Rows:
        """Empty rows."""
        return Rows(((),) * rows, (0,) * rows)

    def step(
        self,
        state: Rows,
        tokens: Sequence[Sequence[int]],
        want: Want = LAST,
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        """Append tokens; logits as wanted. There are no hidden states or attention to return."""
        if want.hidden or want.attention:
            raise UsageError("lms/ngram has no hidden states and no attention.")
        after = Rows(
            tuple(old + tuple(new) for old, new in zip(state.tokens, tokens, strict=True)),
            tuple(len(old) for old in state.tokens),
        )
        if want.logits == "none":
            return Step(after)
        longest = max((len(new) for new in tokens), default=0)
        places = range(longest) if isinstance(want.logits, str) else want.logits
        last = want.logits == "last"
        logits = torch.zeros(len(tokens), 1 if last else len(places), self.vocabulary)
        for row, new in enumerate(tokens):
            chain = parents[row] if parents else range(-1, len(new) - 1)
            for column, place in enumerate([len(new) - 1] if last else places):
                if 0 <= place < len(new):
                    logits[row, column] = self._logits((*state.tokens[row], *_path(new, chain, place)))
        return Step(after, logits)

    def length(self, state: Rows) -> list[int]:
        """Tokens in each row."""
        return [len(row) for row in state.tokens]

    def rewind(self, state: Rows, lengths: Sequence[int]) -> Rows:
        """Cut each row."""
        return replace(state, tokens=tuple(row[:keep] for row, keep in zip(state.tokens, lengths, strict=True)))

    def keep_path(self, state: Rows, paths: Sequence[Sequence[int]]) -> Rows:
        """Keep the chosen ones of the last step's tokens."""
        kept = tuple(
            row[:start] + tuple(row[start + index] for index in path)
            for row, start, path in zip(state.tokens, state.before, paths, strict=True)
        )
        return replace(state, tokens=kept)

    def select(self, state: Rows, rows: Sequence[int]) -> Rows:
        """Copy rows."""
        return Rows(tuple(state.tokens[row] for row in rows), tuple(state.before[row] for row in rows))

    def _logits(self, ids: Sequence[int]) -> torch.Tensor:
        law = self.law(ids)
        logits = np.full(self.vocabulary, IMPOSSIBLE)
        np.log(law, out=logits, where=law > 0.0)
        return torch.from_numpy(logits).float()


def _path(tokens: Sequence[int], parents: Sequence[int], place: int) -> list[int]:
    path = []
    while place >= 0:
        path.append(tokens[place])
        place = parents[place]
    return path[::-1]
