"""How does a decoder drive an encoder-decoder network? As a language model of `source BEGIN target`.

A row's tokens up to BEGIN are its source: they are encoded when BEGIN arrives, and every later token is the target's.
So a prompt carries its own source, rows may be repeated, selected and refilled like those of any language model, and
every decoder that drives a TokenModel token by token drives this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from harness.api.errors import HarnessError, UsageError
from harness.api.types import Step, Want
from harness.models.seq2seq._network import EncoderDecoder, mask_of, padded
from harness.models.seq2seq._units import BEGIN, END, PAD

# R rows, T new tokens, S source positions, V vocabulary
LAST = Want()


@dataclass(frozen=True, slots=True)
class Row:
    """A row's tokens and, once BEGIN has been read, its encoded source and the state after `read` target tokens."""

    tokens: tuple[int, ...] = ()
    memory: tuple[Tensor, ...] = ()  # without the batch axis
    state: tuple[Tensor, ...] = ()
    begun: int = 0  # tokens of the source and BEGIN, once it is there
    read: int = 0  # tokens that the state has seen, BEGIN among them


@dataclass(slots=True)
class State:
    """Rows; a state is used once."""

    rows: list[Row]
    used: bool = False


@final
class Runtime:
    """A TokenModel over a trained network; trees are not offered."""

    def __init__(self, network: EncoderDecoder, vocabulary: int, context_length: int, device: str) -> None:
        self.network, self.vocabulary, self.context_length = network, vocabulary, context_length
        self.device = device
        self.eos = frozenset({END})
        self.cross_attention = network.attends

    def start(self, rows: int, capacity: int) -> State:
        """Empty rows; they grow as they need."""
        return State([Row()] * rows)

    def length(self, state: State) -> list[int]:
        """Tokens of each row, source and BEGIN included."""
        return [len(row.tokens) for row in state.rows]

    @torch.inference_mode()
    def step(
        self,
        state: State,
        tokens: Sequence[Sequence[int]],
        want: Want = LAST,
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        """Append tokens; logits inside a source are zero, attention weights are [R, 1, T, S]."""
        if parents is not None:
            raise UsageError("an encoder-decoder model trained here reads no trees; choose a decoder without them.")
        rows = _use(state, len(tokens))
        if want.hidden or any(layer != -1 for layer in want.attention):
            raise UsageError("an encoder-decoder model trained here shows attention layer -1 and no hidden states.")
        longest = max((len(new) for new in tokens), default=0)
        logits: list[list[Tensor]] = [[] for _ in rows]
        weights: list[list[Tensor]] = [[] for _ in rows]
        rows = [replace(row, tokens=(*row.tokens, *new)) for row, new in zip(rows, tokens, strict=True)]
        rows = self._encoded(rows)
        while True:
            waiting = [place for place, row in enumerate(rows) if row.begun and row.read < _targets(row)]
            if not waiting:
                break
            found = self._advance([rows[place] for place in waiting])
            for place, (row, logits_V, weights_S) in zip(waiting, found, strict=True):
                rows[place] = row
                logits[place].append(logits_V)
                weights[place].append(weights_S)
        counts = [len(new) for new in tokens]
        picked = _positions(want, counts, longest)
        return Step(
            State(rows),
            None if want.logits == "none" else self._at(logits, counts, picked),
            attention={-1: self._attended(weights, counts, longest)} if want.attention else {},
        )

    def rewind(self, state: State, lengths: Sequence[int]) -> State:
        """Forget everything after each row's first tokens; what is left of a target is read again when needed."""
        rows = []
        for row, length in zip(_use(state, len(lengths)), lengths, strict=True):
            if not 0 <= length <= len(row.tokens):
                raise UsageError(f"rewind: a row of {len(row.tokens)} tokens cannot be cut to {length}.")
            if length == len(row.tokens):
                rows.append(row)
            elif length >= row.begun > 0:
                rows.append(replace(row, tokens=row.tokens[:length], state=self._first(row), read=0))
            else:
                rows.append(Row(row.tokens[:length]))
        return State(rows)

    def keep_path(self, state: State, paths: Sequence[Sequence[int]]) -> State:
        """Never: there are no trees."""
        raise UsageError("an encoder-decoder model trained here reads no trees; choose a decoder without them.")

    def select(self, state: State, rows: Sequence[int]) -> State:
        """Row i becomes row rows[i]; rows are values, so nothing is copied."""
        held = _use(state, len(state.rows))
        return State([held[row] for row in rows])

    def _encoded(self, rows: list[Row]) -> list[Row]:
        """Encode the sources of rows whose BEGIN has just come."""
        new = [place for place, row in enumerate(rows) if not row.begun and BEGIN in row.tokens]
        if not new:
            return rows
        ends = [rows[place].tokens.index(BEGIN) for place in new]
        sources = [rows[place].tokens[:end] or (END,) for place, end in zip(new, ends, strict=True)]
        ids_RS, lengths_R = padded(sources)
        memory = self.network.encode(ids_RS.to(self.device), lengths_R.to(self.device))
        begun = self.network.begin(memory)
        out = list(rows)
        for index, (place, end) in enumerate(zip(new, ends, strict=True)):
            length = int(lengths_R[index])
            kept = tuple(
                part[index, :length] if over else part[index]
                for part, over in zip(memory, self.network.over_source, strict=True)
            )
            out[place] = replace(rows[place], memory=kept, state=tuple(part[index] for part in begun), begun=end + 1)
        return out

    def _first(self, row: Row) -> tuple[Tensor, ...]:
        return tuple(part[0] for part in self.network.begin(tuple(part[None] for part in row.memory)))

    def _advance(self, rows: Sequence[Row]) -> list[tuple[Row, Tensor, Tensor]]:
        """One target token of each row."""
        memory, lengths_R = _stacked([row.memory for row in rows], self.network.over_source, self.device)
        state, _ = _stacked([row.state for row in rows], self.network.over_target, self.device)
        past_R = torch.tensor([row.read for row in rows], device=self.device)
        token_R = torch.tensor([row.tokens[row.begun - 1 + row.read] for row in rows], device=self.device)
        mask_RS = mask_of(lengths_R, max(1, int(lengths_R.max())))
        stepped = self.network.advance(memory, mask_RS, state, past_R, token_R)
        stepped.logits_BV[:, [PAD, BEGIN]] = -torch.inf
        found = []
        for place, row in enumerate(rows):
            kept = tuple(
                part[place, : row.read + 1] if over else part[place]
                for part, over in zip(stepped.state, self.network.over_target, strict=True)
            )
            weights = stepped.attention_BS
            width = int(lengths_R[place])
            attended = torch.zeros(width) if weights is None else weights[place, :width]
            found.append((replace(row, state=kept, read=row.read + 1), stepped.logits_BV[place], attended))
        return found

    def _at(self, logits: Sequence[Sequence[Tensor]], counts: Sequence[int], picked: Sequence[Sequence[int]]) -> Tensor:
        """Logits [R, positions, V]; zero where a position lies in a source or beyond a row's new tokens."""
        widest = max((len(places) for places in picked), default=0)
        out = torch.zeros(len(logits), widest, self.vocabulary, device=self.device)
        for row, (found, count, places) in enumerate(zip(logits, counts, picked, strict=True)):
            for column, place in enumerate(places):
                # the logits found are those of the row's last tokens
                back = count - place
                if 0 < back <= len(found):
                    out[row, column] = found[-back]
        return out

    def _attended(self, weights: Sequence[Sequence[Tensor]], counts: Sequence[int], longest: int) -> Tensor:
        widest = max((len(item) for found in weights for item in found), default=1)
        out = torch.zeros(len(weights), 1, longest, widest, device=self.device)
        for row, (found, count) in enumerate(zip(weights, counts, strict=True)):
            for back, item in enumerate(reversed(found[-count:] if count else []), start=1):
                out[row, 0, count - back, : len(item)] = item
        return out


def _targets(row: Row) -> int:
    """Tokens that the decoder has to read: BEGIN and the target."""
    return len(row.tokens) - row.begun + 1


def _use(state: State, rows: int) -> list[Row]:
    if state.used:
        raise HarnessError("a state was used twice; use the one that the last call handed back.")
    if len(state.rows) != rows:
        raise UsageError(f"the state holds {len(state.rows)} rows, not {rows}.")
    state.used = True
    return list(state.rows)


def _positions(want: Want, counts: Sequence[int], longest: int) -> list[list[int]]:
    if want.logits == "last":
        return [[count - 1] for count in counts]
    if isinstance(want.logits, str):
        return [list(range(longest)) if want.logits == "all" else [] for _ in counts]
    return [list(want.logits) for _ in counts]


def _stacked(
    rows: Sequence[tuple[Tensor, ...]], grows: Sequence[bool], device: str
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Each part as one batch, padded where it grows, and the lengths of the parts that do (0 where none does)."""
    lengths = [0] * len(rows)
    parts: list[Tensor] = []
    for index, over in enumerate(grows):
        column = [row[index] for row in rows]
        if over:
            lengths = [len(item) for item in column]
        parts.append(pad_sequence(column, batch_first=True) if over else torch.stack(column))
    return tuple(parts), torch.tensor(lengths, device=device)
