"""How gated linear attention is fast on a CPU: matrix products over chunks, and a hand-written backward pass.

A chunk's inside is a masked score matrix; its outside is the entering state. Only the state walks from chunk to chunk.
The gates enter as factors of q and k alone, so their gradients are q . dq, k . dk and the product of state and adjoint.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from harness.kernels._dispatch import accumulator
from harness.kernels.gated_linear._chunks import Exponents, chunkwise
from harness.kernels.gated_linear.reference import Normaliser, State

# G batch x heads, S chunks, C steps of a chunk, K width of a key, V width of a value; a gate's K may be 1
CHUNK = 32  # steps; forward at K = V = 64 a tenth faster than 64, with gradients equal; 16 and 128 are slower
CHUNK_OF_VECTOR_GATES = 16  # steps; their scores have no matrix product


def gated_linear(
    q_BHTK: torch.Tensor,
    k_BHTK: torch.Tensor,
    v_BHTV: torch.Tensor,
    log_forget: torch.Tensor,
    log_input_BHT: torch.Tensor | None = None,
    state: State | None = None,
    normaliser: Normaliser = "none",
) -> tuple[torch.Tensor, State]:
    """The gated linear attention of `reference.py`, chunkwise (once differentiable)."""
    chunk = CHUNK_OF_VECTOR_GATES if log_forget.ndim == 4 else CHUNK
    chunk = max(1, min(chunk, v_BHTV.shape[2]))
    return chunkwise(_memory, chunk, q_BHTK, k_BHTK, v_BHTV, log_forget, log_input_BHT, state, normaliser)


def _memory(
    q_BHTK: torch.Tensor, k_BHTK: torch.Tensor, v_BHTV: torch.Tensor, exponents: Exponents, S_BHKV: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    length, (chunks, chunk) = q_BHTK.shape[2], exponents.row.shape[2:4]
    carried = accumulator(v_BHTV.dtype)

    def cut(tensor: torch.Tensor) -> torch.Tensor:
        missing = chunks * chunk - length
        tensor = tensor.to(carried)
        # padding copies even where nothing is missing
        tensor = pad(tensor, (0, 0, 0, missing)) if missing else tensor
        return tensor.reshape(-1, chunks, chunk, tensor.shape[-1])

    row, col, enter, leave = exponents
    y_GSCV, S_GKV = _Chunks.apply(
        cut(q_BHTK), cut(k_BHTK), cut(v_BHTV),
        row.flatten(0, 1), col.flatten(0, 1), enter.flatten(0, 1)[..., None, None], leave.flatten(0, 1)[:, :, None],
        S_BHKV.flatten(0, 1),
    )  # fmt: skip
    y_BHTV = y_GSCV.reshape(*q_BHTK.shape[:2], chunks * chunk, -1)[:, :, :length]
    return y_BHTV, S_GKV.view(S_BHKV.shape)


class _Chunks(torch.autograd.Function):
    """y = (q k^T * W) v + (q e^{row + enter}) S, with S_c = e^{enter + leave} S_{c-1} + (k e^{col + leave})^T v."""

    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        row: torch.Tensor,
        col: torch.Tensor,
        enter: torch.Tensor,
        leave: torch.Tensor,
        start: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        read, write, decay = (part.to(q.dtype).exp_() for part in (row + enter, col + leave, leave + enter))
        before = torch.empty(*q.shape[:2], *start.shape[1:], dtype=q.dtype)
        before[:, 0] = start
        last = _walk((k * write).mT @ v, decay.mT, before, reverse=False)
        weight = _weight(row, col, q.dtype)
        scores = _scores(q, k, row, col, weight)
        y = scores @ v
        y.flatten(0, 1).baddbmm_((q * read).flatten(0, 1), before.flatten(0, 1))
        ctx.save_for_backward(q, k, v, row, col, read, write, decay, before, last, weight, scores)
        return y, last

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dy: torch.Tensor, d_last: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, row, col, read, write, decay, before, last, weight, scores = ctx.saved_tensors
        after = torch.empty_like(before)
        after[:, -1] = d_last
        d_start = _walk((q * read).mT @ dy, decay.mT, after, reverse=True)
        dq, dk = (dy @ before.mT).mul_(read), (v @ after.mT).mul_(write)
        _add_score_gradients(dq, dk, dy @ v.mT, q, k, row, col, weight)
        dv = scores.mT @ dy
        dv.flatten(0, 1).baddbmm_((k * write).flatten(0, 1), after.flatten(0, 1))
        # the state after a chunk is the one before the next
        d_leave = torch.cat((before[:, 1:], last[:, None]), 1).mul_(after).sum(-1)[:, :, None]
        d_row, d_col = q * dq, k * dk
        if row.shape[-1] == 1:
            d_row, d_col, d_leave = (part.sum(-1, keepdim=True) for part in (d_row, d_col, d_leave))
        return dq, dk, dv, d_row.to(row.dtype), d_col.to(row.dtype), None, d_leave.to(row.dtype), d_start


def _walk(added: torch.Tensor, decay: torch.Tensor, states: torch.Tensor, *, reverse: bool) -> torch.Tensor:
    """Fill `states` from its first chunk in the direction of travel; return what follows its last."""
    order = range(states.shape[1] - 1, -1, -1) if reverse else range(states.shape[1])
    for c, following in pairwise(order):
        torch.addcmul(added[:, c], decay[:, c], states[:, c], out=states[:, following])
    return torch.addcmul(added[:, order[-1]], decay[:, order[-1]], states[:, order[-1]])


def _weight(row: torch.Tensor, col: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
    """e^{row_i + col_j} for j <= i; None for vector gates, whose weights differ in each key channel."""
    return (row + col.mT).to(dtype).exp_().tril_() if row.shape[-1] == 1 else None


def _scores(
    q: torch.Tensor, k: torch.Tensor, row: torch.Tensor, col: torch.Tensor, weight: torch.Tensor | None
) -> torch.Tensor:
    if weight is not None:
        return (q @ k.mT).mul_(weight)
    scores = q.new_zeros(*q.shape[:3], q.shape[2])
    for j in range(q.shape[2]):
        factor = torch.exp((row[:, :, j:] + col[:, :, j : j + 1]).to(q.dtype)).mul_(k[:, :, j : j + 1])
        scores[:, :, j:, j] = (q[:, :, j:] * factor).sum(-1)
    return scores


def _add_score_gradients(
    dq: torch.Tensor, dk: torch.Tensor, d_scores: torch.Tensor, q: torch.Tensor, k: torch.Tensor,
    row: torch.Tensor, col: torch.Tensor, weight: torch.Tensor | None,
) -> None:  # fmt: skip
    if weight is not None:
        d_scores *= weight
        dq.flatten(0, 1).baddbmm_(d_scores.flatten(0, 1), k.flatten(0, 1))
        dk.flatten(0, 1).baddbmm_(d_scores.flatten(0, 1).mT, q.flatten(0, 1))
        return
    for j in range(q.shape[2]):
        factor = torch.exp((row[:, :, j:] + col[:, :, j : j + 1]).to(q.dtype)).mul_(d_scores[:, :, j:, j, None])
        dq[:, :, j:] += factor * k[:, :, j : j + 1]
        dk[:, :, j] += (factor * q[:, :, j:]).sum(2)
