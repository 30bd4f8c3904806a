"""How does a decoder drive a Llama-family network? The TokenModel protocol over one network and one cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from harness.api.errors import HarnessError, UsageError
from harness.api.types import Step, Want
from harness.models.lms._cache import Cache, CachedAttention, choose, empty, keep
from harness.models.lms._llama import Network, NonFiniteError
from harness.models.lms._replay import Replay

# R rows, T new tokens, N packed new tokens, D width, V vocabulary
LAST = Want()


@final
class LlamaRuntime:
    """A TokenModel over a network: rows of different lengths are packed, so no product is spent on padding.

    Continuous batching needs no verb of its own: `rewind` a finished row to 0 and give it a new prompt in the same
    `step` in which the other rows take one token.
    """

    def __init__(self, network: Network, context_length: int, eos: Sequence[int]) -> None:
        self.network = network
        self.vocabulary = network.shape.vocabulary
        self.eos = frozenset(eos)
        self.context_length = context_length
        # one launch a token where launches, not products, would set the pace
        self.replay = Replay(network) if network.device.type == "cuda" else None

    def first_layers(self, layers: int) -> LlamaRuntime:
        """A cheaper model of the same tokens, for drafting: the first layers alone, with the same norm and head."""
        return LlamaRuntime(self.network.first(layers), self.context_length, sorted(self.eos))

    def start(self, rows: int, capacity: int) -> Cache:
        """An empty state."""
        return empty(self.network.shape, rows, capacity, self.network.embedding_VD)

    def length(self, state: Cache) -> list[int]:
        """Tokens cached in each row."""
        return list(state.lengths)

    @torch.inference_mode()
    def step(
        self,
        state: Cache,
        tokens: Sequence[Sequence[int]],
        want: Want = LAST,
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        """Append tokens and return what was wanted; ragged rows come back padded with zeros at the end.

        Errors: UsageError for a consumed state, a wrong number of rows, too many tokens, a child before its parent;
        NonFiniteError when a logit is NaN or infinite.
        """
        _usable(state, len(tokens))
        network, counts = self.network, [len(row) for row in tokens]
        if parents is not None and [len(row) for row in parents] != counts:
            raise UsageError(f"tree: {counts} tokens but {[len(row) for row in parents]} parents; they must match.")
        after = [old + new for old, new in zip(state.lengths, counts, strict=True)]
        single = parents is None and counts == [1] * len(counts) and want == LAST
        if self.replay is not None and single and max(after) <= state.capacity:
            logits = _checked(self.replay.step(state, [row[0] for row in tokens])).unsqueeze(1)
            return Step(state.handed_on(after, state.lengths), logits)
        attend = CachedAttention(network.shape, state, counts, parents, want.attention)
        ids_N = torch.tensor([token for row in tokens for token in row], dtype=torch.long, device=network.device)
        positions = attend.positions()
        positions_N = torch.tensor(positions, dtype=torch.long, device=network.device)
        if not len(ids_N):
            return Step(state.handed_on(after, state.lengths))
        network.cover(max(positions) + 1)
        hidden_ND, wanted = network.run(ids_N, positions_N, attend, want.hidden)
        all_logits = self._logits(hidden_ND, counts, want)
        if all_logits is not None:
            _checked(all_logits)
        padded = {layer: _unpack(values, counts) for layer, values in wanted.items()}
        return Step(state.handed_on(after, state.lengths), all_logits, padded, attend.weights)

    def rewind(self, state: Cache, lengths: Sequence[int]) -> Cache:
        """Forget everything after each row's first `lengths[b]` tokens."""
        _usable(state, len(lengths))
        for row, (length, cached) in enumerate(zip(lengths, state.lengths, strict=True)):
            if not 0 <= length <= cached:
                raise UsageError(f"rewind: row {row} holds {cached} tokens, so it cannot be cut to {length}.")
        return state.handed_on(lengths, lengths)

    def keep_path(self, state: Cache, paths: Sequence[Sequence[int]]) -> Cache:
        """After a tree step, keep of each row only the new tokens `paths[b]`."""
        _usable(state, len(paths))
        return keep(state, paths)

    def select(self, state: Cache, rows: Sequence[int]) -> Cache:
        """Row i becomes a copy of row rows[i]."""
        _usable(state, state.rows)
        return choose(state, rows)

    def _logits(self, hidden_ND: Tensor, counts: Sequence[int], want: Want) -> Tensor | None:
        if want.logits == "none":
            return None
        if want.logits == "all":
            return _unpack(self.network.logits(hidden_ND), counts)
        ends, total = [], 0
        for count in counts:
            total += count
            ends.append(total)
        if want.logits == "last":
            if all(counts):
                chosen = hidden_ND if total == len(counts) else hidden_ND[[end - 1 for end in ends]]
                return self.network.logits(chosen).unsqueeze(1)
            rows = [row for row, count in enumerate(counts) if count]
            found = self.network.logits(hidden_ND[[ends[row] - 1 for row in rows]])
            logits = found.new_zeros(len(counts), 1, self.vocabulary)
            logits[rows, 0] = found
            return logits
        if isinstance(want.logits, str):
            raise UsageError(f"Want.logits is {want.logits!r}; it is 'last', 'all', 'none' or a list of positions.")
        short = [count for count in counts if any(place >= count for place in want.logits)]
        if short:
            raise UsageError(f"logits were wanted at {tuple(want.logits)} but a row has {min(short)} new tokens.")
        picked = [end - count + place for end, count in zip(ends, counts, strict=True) for place in want.logits]
        return self.network.logits(hidden_ND[picked]).view(len(counts), len(want.logits), self.vocabulary)


def _usable(state: Cache, rows: int) -> None:
    if state.consumed:
        raise HarnessError("a state was used twice; every call hands back a new one and consumes the old.")
    if rows != state.rows:
        raise UsageError(f"the state has {state.rows} rows but {rows} were given; they must match.")


def _checked(logits: Tensor) -> Tensor:
    """The logits; NonFiniteError when one is NaN or infinite."""
    if not bool(torch.isfinite(logits.sum())):
        raise NonFiniteError("a logit is not finite")
    return logits


def _unpack(packed: Tensor, counts: Sequence[int]) -> Tensor:
    """[N, ...] -> [R, T, ...], padded with zeros behind each row's own tokens."""
    longest = max(counts)
    if all(count == longest for count in counts):
        return packed.view(len(counts), longest, *packed.shape[1:])
    padded = packed.new_zeros(len(counts), longest, *packed.shape[1:])
    for row, part in enumerate(packed.split(list(counts))):
        padded[row, : len(part)] = part
    return padded
