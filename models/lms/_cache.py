"""Where do keys and values of past tokens live, and who may read them? The one KV cache, and its masks.

A row's token i lies in slot i. A tree step lays its nodes into the slots after the row's prefix; `keep` gathers the
chosen ones to the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from harness.api.errors import UsageError
from harness.models.lms._shape import Shape

# R rows, T new tokens of a row, S slots read, N packed new tokens, H query heads, K key heads, G = H / K, E head width

# rows with fewer new tokens than this are padded to a common history and share one masked product
SHARED_TOKENS = 16


@dataclass(slots=True)
class Cache:
    """Keys and values [layers, 2, rows, K, capacity, E]; zeros, so that unread slots can never hold a NaN."""

    buffer: Tensor
    lengths: list[int]
    before: list[int]  # lengths before the last step
    consumed: bool = False

    @property
    def rows(self) -> int:
        """Rows in use; the buffer may hold more."""
        return len(self.lengths)

    @property
    def capacity(self) -> int:
        """Slots of a row."""
        return self.buffer.shape[4]

    def handed_on(self, lengths: Sequence[int], before: Sequence[int], buffer: Tensor | None = None) -> Cache:
        """The next value of this state; the old one may not be used again."""
        self.consumed = True
        return Cache(self.buffer if buffer is None else buffer, list(lengths), list(before))


def empty(shape: Shape, rows: int, capacity: int, like: Tensor) -> Cache:
    """A cache of no tokens."""
    size = (shape.layers, 2, rows, shape.kv_heads, capacity, shape.head_width)
    return Cache(torch.zeros(size, dtype=like.dtype, device=like.device), [0] * rows, [0] * rows)


def keep(cache: Cache, paths: Sequence[Sequence[int]]) -> Cache:
    """Keep of each row's last step only the new tokens `paths[row]`, gathered to the front."""
    lengths = []
    for row, path in enumerate(paths):
        start = cache.before[row]
        if list(path) != list(range(len(path))):
            chosen = cache.buffer[:, :, row, :, [start + index for index in path]]
            cache.buffer[:, :, row, :, start : start + len(path)] = chosen
        lengths.append(start + len(path))
    return cache.handed_on(lengths, lengths)


def choose(cache: Cache, rows: Sequence[int]) -> Cache:
    """Row i becomes a copy of row rows[i]; rows that stay are not touched."""
    longest = max([cache.lengths[row] for row in rows], default=0)
    buffer = cache.buffer
    moved = [(place, row) for place, row in enumerate(rows) if place != row]
    if len(rows) > buffer.shape[2]:
        buffer = torch.zeros(*buffer.shape[:2], len(rows), *buffer.shape[3:], dtype=buffer.dtype, device=buffer.device)
        buffer[..., :longest, :] = cache.buffer[..., :longest, :][:, :, list(rows)]
    elif moved:
        sources = cache.buffer[..., :longest, :][:, :, [row for _, row in moved]]
        for index, (place, _) in enumerate(moved):
            buffer[:, :, place, :, :longest] = sources[:, :, index]
    return cache.handed_on([cache.lengths[row] for row in rows], [cache.before[row] for row in rows], buffer)


@dataclass(slots=True)
class _Bundle:
    """Rows whose attention is one product: the same number T of new tokens."""

    rows: slice | list[int]
    packed: slice | Tensor  # where their tokens lie among the packed ones
    count: int  # rows
    new: int  # T
    read: int  # S
    past: int | None  # common past length, when there is one
    causal: bool = False
    allowed: Tensor | None = None  # [R, T, S]; None and not causal: everything is read


@dataclass(slots=True)
class CachedAttention:
    """The `Attend` of one step over a cache."""

    shape: Shape
    cache: Cache
    counts: Sequence[int]
    parents: Sequence[Sequence[int]] | None = None
    wanted: Sequence[int] = ()  # layers whose weights are returned
    weights: dict[int, Tensor] = field(default_factory=dict)
    _bundles: list[_Bundle] = field(default_factory=list)
    _write: tuple[slice | Tensor, ...] = ()
    _masks: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cache, counts = self.cache, self.counts
        for row, count in enumerate(counts):
            if cache.lengths[row] + count > cache.capacity:
                raise UsageError(
                    f"row {row} holds {cache.lengths[row]} tokens and was given {count} more, but the state was "
                    f"started with a capacity of {cache.capacity}; start it larger."
                )
        device = cache.buffer.device
        starts = [0]
        for count in counts:
            starts.append(starts[-1] + count)
        groups: dict[tuple[int, int], list[int]] = {}
        for row, count in enumerate(counts):
            past = -1 if count < SHARED_TOKENS or self.parents is not None else cache.lengths[row]
            if count:
                groups.setdefault((count, past), []).append(row)
        self._bundles = [self._bundle(rows, new, starts) for (new, _), rows in groups.items()]
        only = self._bundles[0] if len(self._bundles) == 1 else None
        if only is not None and isinstance(only.rows, slice) and only.past is not None:
            self._write = (only.rows, slice(only.past, only.past + only.new))
        else:
            owners = [row for row, count in enumerate(counts) for _ in range(count)]
            slots = [cache.lengths[row] + i for row, count in enumerate(counts) for i in range(count)]
            self._write = (torch.tensor(owners, device=device), torch.tensor(slots, device=device))

    def positions(self) -> list[int]:
        """Position of each packed token: its index in the row, or prefix length plus depth in a tree."""
        if self.parents is None:
            return [self.cache.lengths[row] + i for row, count in enumerate(self.counts) for i in range(count)]
        found = []
        for row, parents in enumerate(self.parents):
            depths: list[int] = []
            for parent in parents:
                depths.append(0 if parent < 0 else depths[parent] + 1)
            found += [self.cache.lengths[row] + depth for depth in depths]
        return found

    def __call__(self, layer: int, query_NHE: Tensor, key_NKE: Tensor, value_NKE: Tensor) -> Tensor:
        """Write the new keys and values, then read."""
        key_RKSE, value_RKSE = self.cache.buffer[layer, 0], self.cache.buffer[layer, 1]
        rows, slots = self._write
        if isinstance(rows, slice):
            only = self._bundles[0]
            split = (only.count, only.new, self.shape.kv_heads, self.shape.head_width)
            key_RKSE[rows, :, slots] = key_NKE.view(split).transpose(1, 2)
            value_RKSE[rows, :, slots] = value_NKE.view(split).transpose(1, 2)
        else:
            key_RKSE[rows, :, slots] = key_NKE
            value_RKSE[rows, :, slots] = value_NKE
        if len(self._bundles) == 1:
            return self._read(layer, self._bundles[0], query_NHE, key_RKSE, value_RKSE)
        mixed = query_NHE.new_empty(query_NHE.shape[0], query_NHE.shape[1] * query_NHE.shape[2])
        for bundle in self._bundles:
            mixed[bundle.packed] = self._read(layer, bundle, query_NHE[bundle.packed], key_RKSE, value_RKSE)
        return mixed

    def _read(self, layer: int, bundle: _Bundle, query_NHE: Tensor, key_RKSE: Tensor, value_RKSE: Tensor) -> Tensor:
        shape, tokens = self.shape, query_NHE.shape[0]
        keys, values = key_RKSE[bundle.rows, :, : bundle.read], value_RKSE[bundle.rows, :, : bundle.read]
        window = shape.windows[layer]
        narrow = 0 < window < bundle.read
        if layer in self.wanted:
            self._explain(layer, bundle, query_NHE, keys, window if narrow else 0)
        if bundle.new == 1:
            # one query a row: the heads that share a key head become its queries, and the keys are read once
            grouped = query_NHE.view(bundle.count, shape.kv_heads, -1, shape.head_width)
            mask = self._mask(bundle, window if narrow else 0)
            mixed = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=shape.scale)
            return mixed.reshape(tokens, -1)
        query_RHTE = query_NHE.view(bundle.count, bundle.new, shape.heads, shape.head_width).transpose(1, 2)
        plain = bundle.causal and not narrow
        mixed = F.scaled_dot_product_attention(
            query_RHTE,
            keys,
            values,
            attn_mask=None if plain else self._mask(bundle, window if narrow else 0),
            is_causal=plain,
            scale=shape.scale,
            enable_gqa=shape.heads != shape.kv_heads,
        )
        return mixed.transpose(1, 2).reshape(tokens, -1)

    def _mask(self, bundle: _Bundle, window: int) -> Tensor | None:
        """Additive mask [R, 1, T, S] of a bundle; None when every slot is read. Built once a step."""
        if bundle.allowed is None and not bundle.causal and not window:
            return None
        key = (id(bundle), window)
        if key not in self._masks:
            allowed = self._allowed(bundle, window)
            mask = torch.zeros(allowed.shape, dtype=self.cache.buffer.dtype, device=allowed.device)
            self._masks[key] = mask.masked_fill_(~allowed, float("-inf")).unsqueeze(1)
        return self._masks[key]

    def _allowed(self, bundle: _Bundle, window: int) -> Tensor:
        device = self.cache.buffer.device
        allowed = bundle.allowed
        if allowed is None:
            past = bundle.past or 0
            order = torch.arange(bundle.read, device=device)
            allowed = (order <= past + torch.arange(bundle.new, device=device)[:, None]).unsqueeze(0)
        if window:
            rows = range(self.cache.rows)[bundle.rows] if isinstance(bundle.rows, slice) else bundle.rows
            places = self._places(list(rows), bundle)
            allowed = allowed & (places[1][:, None, :] > places[0][:, :, None] - window)
        return allowed

    def _places(self, rows: list[int], bundle: _Bundle) -> tuple[Tensor, Tensor]:
        """Positions of the queries [R, T] and of the slots [R, S] (tree nodes sit at their depth)."""
        queries, slots = [], []
        for row in rows:
            length = self.cache.lengths[row]
            depths = list(range(bundle.new))
            if self.parents is not None:
                depths = []
                for parent in self.parents[row]:
                    depths.append(0 if parent < 0 else depths[parent] + 1)
            placed = [length + depth for depth in depths]
            queries.append(placed)
            slots.append((list(range(length)) + placed + [0] * bundle.read)[: bundle.read])
        device = self.cache.buffer.device
        return torch.tensor(queries, device=device), torch.tensor(slots, device=device)

    def _bundle(self, rows: list[int], new: int, starts: Sequence[int]) -> _Bundle:
        cache = self.cache
        pasts = [cache.lengths[row] for row in rows]
        past = pasts[0] if min(pasts) == max(pasts) else None
        contiguous = rows == list(range(rows[0], rows[0] + len(rows)))
        device = cache.buffer.device
        packed: slice | Tensor
        if contiguous:
            packed = slice(starts[rows[0]], starts[rows[-1]] + new)
        else:
            packed = torch.tensor([starts[row] + i for row in rows for i in range(new)], device=device)
        place = slice(rows[0], rows[-1] + 1) if contiguous else rows
        bundle = _Bundle(place, packed, len(rows), new, max(pasts) + new, past)
        if self.parents is not None:
            bundle.allowed = torch.stack(
                [_family(self.parents[row], cache.lengths[row], bundle.read) for row in rows]
            ).to(device)
        elif past is None:
            order = torch.arange(bundle.read, device=device)
            last = torch.tensor(pasts, device=device)[:, None] + torch.arange(new, device=device)
            bundle.allowed = order <= last[:, :, None]
        elif new > 1:
            if past == 0:
                bundle.causal = True
            else:
                order = torch.arange(bundle.read, device=device)
                bundle.allowed = (order <= past + torch.arange(new, device=device)[:, None]).unsqueeze(0)
        return bundle

    def _explain(self, layer: int, bundle: _Bundle, query_NHE: Tensor, keys_RKSE: Tensor, window: int) -> None:
        """Attention weights [rows, H, T, S] of a layer, zero where a row is shorter."""
        shape = self.shape
        query = query_NHE.view(bundle.count, bundle.new, shape.kv_heads, -1, shape.head_width)
        scores = torch.einsum("rtkge,rkse->rkgts", query.float(), keys_RKSE.float()) * shape.scale
        if bundle.new > 1 or bundle.allowed is not None or window:
            scores = scores.masked_fill(~self._allowed(bundle, window)[:, None, None], float("-inf"))
        weights = torch.softmax(scores, -1).flatten(1, 2)
        if layer not in self.weights:
            slots = max(length + count for length, count in zip(self.cache.lengths, self.counts, strict=True))
            size = (len(self.counts), shape.heads, max(self.counts), slots)
            self.weights[layer] = torch.zeros(size, device=weights.device)
        self.weights[layer][bundle.rows, :, : bundle.new, : bundle.read] = weights


def _family(parents: Sequence[int], past: int, read: int) -> Tensor:
    """Which slots [T, S] each node of a tree reads: the prefix, its ancestors and itself."""
    allowed = torch.zeros(len(parents), read, dtype=torch.bool)
    allowed[:, :past] = True
    for index, parent in enumerate(parents):
        if parent >= 0:
            if parent >= index:
                raise UsageError(f"tree: node {index} names parent {parent}; a parent comes before its children.")
            allowed[index] = allowed[parent]
        allowed[index, past + index] = True
    return allowed


def attention_by_layer(attention: CachedAttention) -> Mapping[int, Tensor]:
    """What `Want.attention` asked for."""
    return attention.weights
