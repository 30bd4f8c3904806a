"""Which keys may each query see? Builders of masks [T, M], True where the query of a row sees the key of a column.

Query t stands at key position M - T + t, so that the last query meets the last key. Masks combine with `&` and `|`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.api.errors import UsageError

# T queries, M keys


def causal(queries: int, keys: int | None = None, device: str = "cpu") -> torch.Tensor:
    """Every key up to the query's own position."""
    distance = _distance(queries, keys, device)
    return distance >= 0


def window(queries: int, width: int, keys: int | None = None, ahead: int = 0, device: str = "cpu") -> torch.Tensor:
    """The query's own position, `width - 1` before it and `ahead` after it (Longformer: arXiv:2004.05150)."""
    _positive("window", "width", width)
    distance = _distance(queries, keys, device)
    return (distance < width) & (distance >= -ahead)


def chunk(queries: int, size: int, keys: int | None = None, device: str = "cpu") -> torch.Tensor:
    """Only keys of the query's own chunk of `size` positions (MEGA-chunk: arXiv:2209.10655)."""
    return chunked_limited(queries, 0, size - 1, keys, device)


def chunked_limited(queries: int, left: int, right: int, keys: int | None = None, device: str = "cpu") -> torch.Tensor:
    """The query's chunk of `right + 1` positions and the `left // (right + 1)` chunks before it (arXiv:2312.17279)."""
    size = right + 1
    _positive("chunked_limited", "right + 1", size)
    if left % size:
        raise UsageError(f"chunked_limited: left={left} must be a multiple of right + 1 = {size}.")
    query, key = _positions(queries, keys, device)
    behind = query.div(size, rounding_mode="floor") - key.div(size, rounding_mode="floor")
    return (behind >= 0) & (behind <= left // size)


def everyone(queries: int, chosen: Sequence[int], keys: int | None = None, device: str = "cpu") -> torch.Tensor:
    """Global positions: the `chosen` keys are seen by all, and the queries at these positions see all."""
    query, key = _positions(queries, keys, device)
    wanted = torch.tensor(list(chosen), dtype=torch.long, device=device)
    return torch.isin(query, wanted) | torch.isin(key, wanted)


def tree(parents: Sequence[int], device: str = "cpu") -> torch.Tensor:
    """Each node of a tree sees itself and its ancestors; parents[i] < i, or -1 for a child of the prefix."""
    visible = torch.eye(len(parents), dtype=torch.bool, device=device)
    for node, parent in enumerate(parents):
        if not -1 <= parent < node:
            raise UsageError(f"tree: node {node} has parent {parent}; a parent is an earlier node, or -1.")
        if parent >= 0:
            visible[node] |= visible[parent]
    return visible


def _positions(queries: int, keys: int | None, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    count = queries if keys is None else keys
    query = torch.arange(count - queries, count, device=device)
    return query[:, None], torch.arange(count, device=device)[None, :]


def _distance(queries: int, keys: int | None, device: str) -> torch.Tensor:
    query, key = _positions(queries, keys, device)
    return query - key


def _positive(mask: str, name: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{mask}: {name} is {value}; it must be at least 1.")
