"""How a decoder drives any causal model of transformers: the TokenModel protocol, one row and one memory at a time.

Rows never meet, so that neither padding nor company can change a number; a tree is walked path by path. Both cost
speed, which the Llama runtime exists for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor

from harness.api.errors import HarnessError, UsageError
from harness.api.types import Step, Want
from harness.models.lms._hf_forward import Interface, Result, forward
from harness.models.lms._llama import NonFiniteError

# R rows, T new tokens, P wanted positions, D width, H heads, S cached tokens, V vocabulary
LAST = Want()


@dataclass(frozen=True, slots=True)
class Row:
    """A row's tokens, the memory of the first `encoded` of them, and the tree that hangs on it since the last step."""

    tokens: tuple[int, ...] = ()
    encoded: int = 0
    memory: Any = None
    base: int = 0  # the shortest length that the memory can still be cut to
    branches: tuple[tuple[tuple[int, ...], Row], ...] = ()  # (path of new-token indices, the row along that path)
    nodes: int = 0  # new tokens in the tree


@dataclass(slots=True)
class State:
    """Rows, and how long each was before the last step."""

    rows: list[Row]
    before: list[int]
    consumed: bool = False


@dataclass(slots=True)
class _Outputs:
    """What one row's forward pass returned, by position within the tokens fed."""

    logits: dict[int, Tensor] = field(default_factory=dict)  # position -> [V]
    hidden: dict[int, list[Tensor]] = field(default_factory=dict)  # layer -> [T][D]
    attention: dict[int, list[Tensor]] = field(default_factory=dict)  # layer -> [T][H, S]


@final
class HfRuntime:
    """A TokenModel over a transformers model, called as `interface` says.

    A memory of keys and values is cut when a row is rewound; a recurrent one (Mamba, RWKV) cannot be, and the row's
    remaining tokens are read again by the next step. So is a row that grows beyond the length at which LongRoPE
    changes its angles. `given` are further inputs of every forward pass (an encoder's outputs, for the decoder of an
    encoder-decoder model).
    """

    def __init__(
        self,
        network: Any,
        interface: Interface,
        context_length: int,
        eos: Sequence[int],
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.network = network
        self.interface = interface
        self.eos = frozenset(eos)
        self.context_length = context_length
        self.vocabulary = int(network.config.get_text_config(decoder=True).vocab_size)
        self._given = dict(given or {})

    def start(self, rows: int, capacity: int) -> State:
        """Empty rows; memories grow as they need."""
        return State([Row()] * rows, [0] * rows)

    def length(self, state: State) -> list[int]:
        """Tokens of each row, a tree's nodes included."""
        return [len(row.tokens) + row.nodes for row in state.rows]

    @torch.inference_mode()
    def step(
        self,
        state: State,
        tokens: Sequence[Sequence[int]],
        want: Want = LAST,
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        """Append tokens and return what was wanted; ragged rows come back padded with zeros at the end."""
        _usable(state, len(tokens))
        before = self.length(state)
        rows: list[Row] = []
        found: list[_Outputs] = []
        for place, (row, new) in enumerate(zip(state.rows, tokens, strict=True)):
            if row.nodes:
                raise UsageError(f"row {place} holds a tree; keep one of its paths, or rewind, before the next step.")
            outputs = _Outputs()
            if new and parents is None:
                row = self._chain(row, list(new), _positions(want, len(new)), want, outputs)
            elif new and parents is not None:
                row = self._tree(row, list(new), list(parents[place]), want, outputs)
            rows.append(row)
            found.append(outputs)
        state.consumed = True
        counts = [len(new) for new in tokens]
        return Step(
            State(rows, before),
            self._logits(found, counts, want),
            {layer: _padded([outputs.hidden.get(layer, []) for outputs in found]) for layer in want.hidden},
            {layer: _attended([outputs.attention.get(layer, []) for outputs in found]) for layer in want.attention},
        )

    def rewind(self, state: State, lengths: Sequence[int]) -> State:
        """Forget everything after each row's first `lengths[b]` tokens."""
        _usable(state, len(lengths))
        for place, (length, cached) in enumerate(zip(lengths, self.length(state), strict=True)):
            if not 0 <= length <= cached:
                raise UsageError(f"rewind: row {place} holds {cached} tokens, so it cannot be cut to {length}.")
        state.consumed = True
        rows = [self._cut(row, length) for row, length in zip(state.rows, lengths, strict=True)]
        return State(rows, list(lengths))

    def keep_path(self, state: State, paths: Sequence[Sequence[int]]) -> State:
        """After a tree step, keep of each row only the new tokens `paths[b]`."""
        _usable(state, len(paths))
        state.consumed = True
        rows = [self._kept(*each) for each in zip(state.rows, state.before, paths, strict=True)]
        return State(rows, [len(row.tokens) for row in rows])

    def select(self, state: State, rows: Sequence[int]) -> State:
        """Row i becomes a copy of row rows[i]."""
        _usable(state, len(state.rows))
        state.consumed = True
        chosen, taken = [], set()
        for row in rows:
            chosen.append(_copied(state.rows[row]) if row in taken else state.rows[row])
            taken.add(row)
        return State(chosen, [state.before[row] for row in rows])

    def _chain(self, row: Row, new: list[int], positions: Sequence[int], want: Want, outputs: _Outputs) -> Row:
        """Feed what the memory lacks and the new tokens; outputs are numbered within the new ones."""
        old, tokens = len(row.tokens), (*row.tokens, *new)
        if len(tokens) > self.context_length:
            raise UsageError(f"a row would hold {len(tokens)} tokens, but the context holds {self.context_length}.")
        first = old if want.hidden or want.attention else old + min(positions, default=len(new))
        memory, since = row.memory, old
        for begin, end in self._pieces(row, len(tokens), first):
            if begin == 0:
                memory = None
            for start, stop in self._passes(begin, end):
                wanted = [old + place - start for place in positions if max(since, start) <= old + place < stop]
                memory, result = forward(
                    self.network, self.interface, memory, start, tokens[start:stop],
                    wanted=wanted, want=want, given=self._given,
                )  # fmt: skip
                _collect(result, wanted, start - old, range(max(since, start) - start, stop - start), want, outputs)
            since = end
        fresh = begin == 0
        return Row(tokens, 0 if memory is None else len(tokens), memory, 0 if fresh else row.base)

    def _pieces(self, row: Row, end: int, first: int) -> Iterator[tuple[int, int]]:
        """What to read in turn, as ranges of the row; one that begins at 0 forgets what was read before.

        `first` is the first position whose outputs are wanted.
        """
        edge = self.interface.boundary
        if not (self.interface.beyond(end) and row.encoded <= edge):
            yield row.encoded, end
            return
        # a token within the boundary is told by the row up to it, whatever comes after it in the same step
        if first < edge:
            yield row.encoded, edge
        yield 0, end

    def _passes(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        if begin and not self.interface.several:
            # most recurrent layers of transformers take a prompt as a whole, but continue one token at a time
            yield from ((place, place + 1) for place in range(begin, end))
        else:
            yield begin, end

    def _tree(self, row: Row, new: list[int], parents: list[int], want: Want, outputs: _Outputs) -> Row:
        """Walk each root-to-leaf path from a copy of the memory; a node's outputs come from the first path over it."""
        if want.attention:
            raise UsageError("attention over a tree is not returned by this adapter; step along one path.")
        if len(parents) != len(new):
            raise UsageError(f"tree: {len(new)} tokens but {len(parents)} parents; they must match.")
        paths: list[tuple[int, ...]] = []
        for node, parent in enumerate(parents):
            if not -1 <= parent < node:
                raise UsageError(f"tree: node {node} has the parent {parent}, which must come before it.")
            paths.append((*paths[parent], node) if parent >= 0 else (node,))
        branches = []
        hidden: dict[int, dict[int, Tensor]] = {}
        for path in (path for node, path in enumerate(paths) if node not in parents):
            along = _Outputs()
            branch = self._chain(_copied(row), [new[node] for node in path], range(len(path)), want, along)
            branches.append((path, branch))
            for depth, node in enumerate(path):
                outputs.logits.setdefault(node, along.logits[depth])
                for layer, values in along.hidden.items():
                    hidden.setdefault(layer, {}).setdefault(node, values[depth])
        outputs.hidden = {layer: [found[node] for node in range(len(new))] for layer, found in hidden.items()}
        return replace(row, branches=tuple(branches), nodes=len(new))

    def _cut(self, row: Row, length: int) -> Row:
        if row.nodes and length > len(row.tokens):
            raise UsageError("rewind into a tree is not defined; keep one of its paths.")
        row = replace(row, branches=(), nodes=0)
        if length == 0:
            return Row()
        if length >= row.encoded:
            return replace(row, tokens=row.tokens[:length])
        way = self.interface
        if not way.cuts or length < row.base or (way.beyond(row.encoded) and not way.beyond(length)):
            return Row(row.tokens[:length])
        # a negative number is how many to take off, whatever the version of transformers
        row.memory.crop(length - row.encoded)
        return Row(row.tokens[:length], length, row.memory, length if way.kind == "recorded" else 0)

    def _kept(self, row: Row, before: int, path: Sequence[int]) -> Row:
        if not row.nodes:
            if list(path) != list(range(len(path))):
                raise UsageError(f"keep_path: the last step was a chain, so {list(path)} is no path of it.")
            return self._cut(row, before + len(path))
        for nodes, branch in row.branches:
            if nodes[: len(path)] == tuple(path):
                return self._cut(branch, before + len(path))
        raise UsageError(f"keep_path: {list(path)} is no path from a root of the tree.")

    def _logits(self, found: Sequence[_Outputs], counts: Sequence[int], want: Want) -> Tensor | None:
        if want.logits == "none":
            return None
        width = max([len(_positions(want, count)) for count in counts], default=0)
        logits = torch.zeros(len(counts), width, self.vocabulary, device=self.network.device)
        for place, (outputs, count) in enumerate(zip(found, counts, strict=True)):
            for column, position in enumerate(_positions(want, count)):
                logits[place, column] = outputs.logits[position]
        # minus infinity forbids a word (Marian's padding); NaN or plus infinity is a fault
        total = logits.sum()
        if bool(total.isnan() | total.isposinf()):
            raise NonFiniteError("a logit is not finite")
        return logits


def _positions(want: Want, count: int) -> Sequence[int]:
    if want.logits == "none" or count == 0:
        return ()
    if want.logits == "last":
        return (count - 1,)
    if want.logits == "all":
        return range(count)
    if isinstance(want.logits, str):
        raise UsageError(f"Want.logits is {want.logits!r}; it is 'last', 'all', 'none' or a list of positions.")
    if any(not 0 <= place < count for place in want.logits):
        raise UsageError(f"logits were wanted at {tuple(want.logits)} but a row has {count} new tokens.")
    return tuple(want.logits)


def _collect(
    result: Result, wanted: list[int], shift: int, shown: Sequence[int], want: Want, outputs: _Outputs
) -> None:
    """File one pass's outputs under positions within the new tokens; layers are shown at the `shown` positions."""
    if wanted:
        logits_TV = result.value.logits[0]
        logits_TV = logits_TV.to(torch.promote_types(logits_TV.dtype, torch.float32))
        for index, place in enumerate(wanted):
            outputs.logits[place + shift] = logits_TV[place if result.whole else index]
    for layer in want.hidden:
        values = result.value.hidden_states
        # transformers norms the last layer's output before it hands it out
        if layer == len(values) - 1:
            raise UsageError(f"layer {layer} is the last; transformers returns it after the final norm alone (-1).")
        rows = outputs.hidden.setdefault(layer, [])
        rows += [values[layer][0, place] for place in shown]
    for layer in want.attention:
        weights = result.value.attentions
        if not weights or weights[layer] is None:
            raise UsageError("this model returns no attention weights; give lms/hf attention=eager.")
        rows = outputs.attention.setdefault(layer, [])
        rows += [weights[layer][0, :, place] for place in shown]


def _padded(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """[R, T, ...] from rows of T or fewer values, zeros behind each row's own."""
    stacked = [torch.stack(list(row)) if row else None for row in rows]
    like = next(item for item in stacked if item is not None)
    out = like.new_zeros(len(rows), max(len(row) for row in rows), *like.shape[1:])
    for place, item in enumerate(stacked):
        if item is not None:
            out[place, : len(item)] = item
    return out


def _attended(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """[R, H, T, S] from [T][H, S] a row; rows that cached fewer tokens get zeros behind."""
    cached = max(weights.shape[-1] for row in rows for weights in row)
    widened = [[torch.nn.functional.pad(weights, (0, cached - weights.shape[-1])) for weights in row] for row in rows]
    return _padded(widened).transpose(1, 2)


def _copied(row: Row) -> Row:
    return replace(row, memory=copy.deepcopy(row.memory))


def _usable(state: State, rows: int) -> None:
    if state.consumed:
        raise HarnessError("a state was used twice; every call hands back a new one and consumes the old.")
    if rows != len(state.rows):
        raise UsageError(f"the state has {len(state.rows)} rows but {rows} were given; they must match.")
