"""What do matrix-memory mixers share? The state of `gated_linear`, to and from the mixers' dictionary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.models.sequence._mixer import State, state_dtype

# B batch, H heads, K key width, V value width


def empty_memory(
    batch: int, sizes: tuple[int, int, int], device: torch.device, dtype: torch.dtype, normaliser: str
) -> State:
    """No token written: S = 0 and, with a normaliser, n = 0 and (mLSTM) m = -inf."""
    heads, keys, values = sizes
    kind: Any = {"device": device, "dtype": state_dtype(dtype)}
    state = {"memory": torch.zeros(batch, heads, keys, values, **kind)}
    if normaliser != "none":
        state["norm"] = torch.zeros(batch, heads, keys, **kind)
    if normaliser == "mlstm":
        state["peak"] = torch.full((batch, heads), -torch.inf, **kind)
    return state


def carried(state: State | None) -> tuple[Tensor, Tensor | None, Tensor | None] | None:
    """The kernel's view of a state."""
    return (state["memory"], state.get("norm"), state.get("peak")) if state else None


def packed(last: tuple[Tensor, Tensor | None, Tensor | None]) -> State:
    """The mixers' view of the kernel's last state."""
    names = ("memory", "norm", "peak")
    return {name: tensor for name, tensor in zip(names, last, strict=True) if tensor is not None}


def split_heads(x_BTD: Tensor, heads: int) -> Tensor:
    """[B, T, H * E] -> [B, H, T, E]."""
    return x_BTD.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x_BHTE: Tensor) -> Tensor:
    """[B, H, T, E] -> [B, T, H * E]."""
    return x_BHTE.transpose(1, 2).flatten(2)
