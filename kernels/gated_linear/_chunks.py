"""How the gates of a chunk become exponents that cannot overflow, and what remains for a path to compute.

Within a chunk let b_i be the running sum of log f. A path needs four exponents alone:

    weight of step j in step i:      row_i + col_j     row_i = b_i - m_i        col_j = log i_j - b_j
    weight of the entering state:    row_i + enter     enter = m before the chunk
    weight of step j in the state:   col_j + leave     leave = b_C - m after the chunk
    decay of the state:              enter + leave

Without the mLSTM's stabiliser m is zero. The sums are taken in float64: they cancel. The normaliser n is one more
column of the memory, for a value that is always one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from harness.kernels._dispatch import accumulator
from harness.kernels.gated_linear.reference import Normaliser, State, empty_state

# B batch, H heads, T time, S chunks, C steps of a chunk, K width of a key (or 1), V width of a value


class Exponents(NamedTuple):
    """What the gates of all chunks come to, in float64; the last axis is K for a gate of each key channel, else 1."""

    row: torch.Tensor  # [B, H, S, C, K]
    col: torch.Tensor  # [B, H, S, C, K]
    enter: torch.Tensor  # [B, H, S], a constant: no gradient
    leave: torch.Tensor  # [B, H, S, K]


# (q, k, v, exponents, S before) -> (q S of each step [B, H, T, V], S after)
Memory = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, Exponents, torch.Tensor], tuple[torch.Tensor, torch.Tensor]
]


def chunkwise(
    memory: Memory,
    chunk: int,
    q_BHTK: torch.Tensor,
    k_BHTK: torch.Tensor,
    v_BHTV: torch.Tensor,
    log_forget: torch.Tensor,
    log_input_BHT: torch.Tensor | None,
    state: State | None,
    normaliser: Normaliser,
) -> tuple[torch.Tensor, State]:
    """Turn the gates into exponents, let `memory` do the matrix work, then normalise."""
    carried = accumulator(v_BHTV.dtype)
    batch, heads, length, keys = k_BHTK.shape
    if state is None:
        state = empty_state(batch, heads, keys, v_BHTV.shape[-1], normaliser, like=v_BHTV)
    S_BHKV, n_BHK, m_BH = (None if item is None else item.to(carried) for item in state)
    assert S_BHKV is not None
    if not length:
        return torch.empty_like(v_BHTV), (S_BHKV, n_BHK, m_BH)
    exponents, m_BHT, m_BH = _exponents(log_forget, log_input_BHT, m_BH, chunk)
    if n_BHK is None:
        y_BHTV, S_BHKV = memory(q_BHTK, k_BHTK, v_BHTV, exponents, S_BHKV)
        return y_BHTV.to(v_BHTV.dtype), (S_BHKV, None, None)
    # the numerator must keep its precision until it is divided
    v_BHTV, dtype = pad(v_BHTV.to(carried), (0, 1), value=1.0), v_BHTV.dtype
    y_BHTV, S_BHKV = memory(q_BHTK, k_BHTK, v_BHTV, exponents, torch.cat((S_BHKV, n_BHK[..., None]), -1))
    y_BHTV, total = y_BHTV[..., :-1], y_BHTV[..., -1:]
    if m_BHT is not None:
        total = torch.maximum(total.abs(), torch.exp(-m_BHT[..., None]))
    return (y_BHTV / total).to(dtype), (S_BHKV[..., :-1], S_BHKV[..., -1], m_BH)


def _exponents(
    log_forget: torch.Tensor, log_input_BHT: torch.Tensor | None, m_BH: torch.Tensor | None, chunk: int
) -> tuple[Exponents, torch.Tensor | None, torch.Tensor | None]:
    """Exponents, the stabiliser of each step, and the one after the last step (both None without it)."""
    length = log_forget.shape[2]
    missing = -length % chunk
    forget = log_forget.double() if log_forget.ndim == 4 else log_forget.double()[..., None]
    b_BHSCK = pad(forget, (0, 0, 0, missing)).unflatten(2, (-1, chunk)).cumsum(3)
    if log_input_BHT is None:
        log_input_BHT = torch.zeros_like(forget[..., 0])
    # a step past the end writes nothing
    written = pad(log_input_BHT.double(), (0, missing), value=-torch.inf)
    col_BHSCK = written.unflatten(2, (-1, chunk))[..., None] - b_BHSCK
    whole_BHSK = b_BHSCK[:, :, :, -1]
    if m_BH is None:
        enter = torch.zeros_like(whole_BHSK[..., 0])
        return Exponents(b_BHSCK, col_BHSCK, enter.detach(), whole_BHSK), None, None
    with torch.no_grad():
        peak_BHSC = col_BHSCK[..., 0].cummax(3).values
        # m in front of each chunk, rounded once to the type in which it is handed back
        offset = pad(whole_BHSK[..., 0].cumsum(2), (1, 0))
        highest = torch.cat((m_BH.double()[..., None], peak_BHSC[..., -1] - offset[..., :-1]), 2).cummax(2).values
        bounds = (offset + highest).to(m_BH.dtype).double()
        m_BHSC = b_BHSCK[..., 0] + torch.maximum(bounds[..., :-1, None], peak_BHSC)
        m_BHSC, after = (m.masked_fill(m == -torch.inf, 0.0) for m in (m_BHSC, bounds[..., 1:]))
    exponents = Exponents(b_BHSCK - m_BHSC[..., None], col_BHSCK, bounds[..., :-1], whole_BHSK - after[..., None])
    m_BHT = m_BHSC.flatten(2)[..., :length].to(m_BH.dtype)
    return exponents, m_BHT, bounds[..., -1].to(m_BH.dtype)
