"""How gated linear attention runs on a GPU: states first, chunk after chunk; then every chunk's answers at once.

Three kernels. `_states` walks the chunks of one block of the memory and keeps what each chunk enters with; in reverse
it gives the adjoints of the same states. `_outputs` and `_gradients` then treat all chunks in parallel, each from its
stored state. Products take tensor cores in half types and three-fold tf32 in float32; sums are float32, and
exponents are added in float64, because they cancel.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from harness.api.errors import UsageError
from harness.kernels._ahead_of_time import Ahead
from harness.kernels._dispatch import accumulator
from harness.kernels._products import product, product_type
from harness.kernels._tuning import tuned
from harness.kernels.gated_linear._chunks import Exponents, chunkwise
from harness.kernels.gated_linear.reference import Normaliser, State

# G batch x heads, T time, S chunks, C steps of a chunk, K width of a key, V width of a value
CHUNK = 64  # steps
CHUNK_OF_VECTOR_GATES = 16  # steps; their scores have no matrix product
WIDEST_KEY = 128  # channels; one program holds whole keys of a chunk


def gated_linear(
    q_BHTK: torch.Tensor,
    k_BHTK: torch.Tensor,
    v_BHTV: torch.Tensor,
    log_forget: torch.Tensor,
    log_input_BHT: torch.Tensor | None = None,
    state: State | None = None,
    normaliser: Normaliser = "none",
) -> tuple[torch.Tensor, State]:
    """The gated linear attention of `reference.py` in Triton (once differentiable); keys of at most 128 channels."""
    if k_BHTK.shape[-1] > WIDEST_KEY:
        raise UsageError(
            f"gated_linear: keys are {k_BHTK.shape[-1]} wide but the gpu path holds at most {WIDEST_KEY}; "
            "use more heads, or path='reference', or move the tensors to cpu."
        )
    chunk = CHUNK_OF_VECTOR_GATES if log_forget.ndim == 4 else CHUNK
    return chunkwise(_memory, chunk, q_BHTK, k_BHTK, v_BHTV, log_forget, log_input_BHT, state, normaliser)


def _memory(
    q_BHTK: torch.Tensor, k_BHTK: torch.Tensor, v_BHTV: torch.Tensor, exponents: Exponents, S_BHKV: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    carried = accumulator(v_BHTV.dtype)
    row, col, enter, leave = exponents
    row, col, leave = row.flatten(0, 1), col.flatten(0, 1), leave.flatten(0, 1)
    enter = enter.flatten(0, 1)[:, :, None]
    y_GTV, S_GKV = _Chunks.apply(
        q_BHTK.flatten(0, 1), k_BHTK.flatten(0, 1), v_BHTV.flatten(0, 1),
        row, col, (row + enter[:, :, None]).to(carried),
        (col + leave[:, :, None]).to(carried), (enter + leave).to(carried), S_BHKV.flatten(0, 1),
    )  # fmt: skip
    return y_GTV.view(v_BHTV.shape), S_GKV.view(S_BHKV.shape)


class _Chunks(torch.autograd.Function):
    """The formulas of `cpu.py`; `read`, `write` and `decay` are exponents that are summed before they lose digits."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, row: torch.Tensor, col: torch.Tensor,
                read: torch.Tensor, write: torch.Tensor, decay: torch.Tensor, start: torch.Tensor,
                ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        q, k, v, row, col, read, write, decay = map(torch.Tensor.contiguous, (q, k, v, row, col, read, write, decay))
        y = torch.empty_like(v)
        S = _walk(k, v, write, decay, start, q.dtype, reverse=False)
        _outputs[lambda meta: (v.shape[0] * row.shape[1], triton.cdiv(v.shape[2], meta["BLOCK_V"]))](
            q, k, v, row, col, read, S, y,
            v.shape[1], row.shape[1], q.shape[2], v.shape[2], BLOCK_K=_width(q), **_sizes(row, q.dtype),
        )  # fmt: skip
        ctx.save_for_backward(q, k, v, row, col, read, write, decay, S)
        return y, S[:, -1].clone()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dy: torch.Tensor, d_last: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, row, col, read, write, decay, S = ctx.saved_tensors
        dy = dy.contiguous()
        dS = _walk(q, dy, read, decay, d_last, q.dtype, reverse=True)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        d_row, d_col = torch.empty_like(read), torch.empty_like(write)
        _gradients[(v.shape[0] * row.shape[1],)](
            q, k, v, row, col, read, write, S, dS, dy, dq, dk, dv, d_row, d_col,
            v.shape[1], row.shape[1], q.shape[2], v.shape[2], BLOCK_K=_width(q), **_sizes(row, q.dtype),
        )  # fmt: skip
        # row, col and leave each scale q, k and the state alone; read and write repeat them, and enter is a constant
        d_leave = (dS[:, 1:] * S[:, 1:]).sum(-1)
        d_leave = d_leave if row.shape[-1] > 1 else d_leave.sum(-1, keepdim=True)
        return dq, dk, dv, d_row.to(row.dtype), d_col.to(col.dtype), None, None, d_leave, dS[:, 0].clone()


def _walk(
    a: torch.Tensor, b: torch.Tensor, exponent: torch.Tensor, decay: torch.Tensor, start: torch.Tensor,
    dtype: torch.dtype, *, reverse: bool,
) -> torch.Tensor:  # fmt: skip
    """States [G, S + 1, K, V]: outer products of a e^{exponent} and b, added up with decay along the chunks."""
    (groups, length, keys), values, chunks = a.shape, b.shape[2], exponent.shape[1]
    S = torch.empty(groups, chunks + 1, keys, values, dtype=exponent.dtype, device=a.device)
    _states[lambda meta: (groups, triton.cdiv(keys, meta["BLOCK_K"]), triton.cdiv(values, meta["BLOCK_V"]))](
        a, b, exponent, decay, start.contiguous(), S, length, chunks, keys, values,
        REVERSE=reverse, **_sizes(exponent, dtype),
    )  # fmt: skip
    return S


def _width(q: torch.Tensor) -> int:
    # a matrix product on a GPU is at least 16 wide
    return max(16, int(triton.next_power_of_2(q.shape[2])))


def _sizes(row: torch.Tensor, dtype: torch.dtype) -> dict[str, Any]:
    return {"C": row.shape[2], "VECTOR": row.shape[3] > 1, "DOT": product_type(dtype)}


@tuned([{"BLOCK_K": 64, "BLOCK_V": 64}, {"BLOCK_K": 32, "BLOCK_V": 64}, {"BLOCK_K": 32, "BLOCK_V": 32}],
       ["T", "K", "V"], [4, 8])  # fmt: skip
@triton.jit
def _states(  # type: ignore[no-untyped-def]
    a, b, exponent, decay, start, S, T, chunks, K, V,
    C: tl.constexpr, VECTOR: tl.constexpr, DOT: tl.constexpr, REVERSE: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """One block [BLOCK_K, BLOCK_V] of a memory through all chunks: S_c before (or, in reverse, after) each chunk."""
    g = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)
    v = tl.program_id(2) * BLOCK_V + tl.arange(0, BLOCK_V)
    block = (k < K)[:, None] & (v < V)[None, :]
    at_block = k[:, None] * V + v[None, :]
    memory = tl.load(start + g * K * V + at_block, mask=block, other=0.0)
    for step in range(0, chunks):
        c = chunks - 1 - step if REVERSE else step
        t = c * C + tl.arange(0, C)
        tl.store(S + ((g * (chunks + 1) + (c + 1 if REVERSE else c)) * K * V) + at_block, memory, mask=block)
        if VECTOR:
            at_gate = (g * chunks * C + t)[:, None] * K + k[None, :]
            factor = tl.exp(tl.load(exponent + at_gate, mask=(k < K)[None, :], other=0.0))
            kept = tl.exp(tl.load(decay + (g * chunks + c) * K + k, mask=k < K, other=0.0))[:, None]
        else:
            factor = tl.exp(tl.load(exponent + g * chunks * C + t))[:, None]
            kept = tl.exp(tl.load(decay + g * chunks + c))
        rows_a = tl.load(a + (g * T + t)[:, None] * K + k[None, :], mask=(t < T)[:, None] & (k < K)[None, :], other=0.0)
        rows_b = tl.load(b + (g * T + t)[:, None] * V + v[None, :], mask=(t < T)[:, None] & (v < V)[None, :], other=0.0)
        scaled = rows_a.to(tl.float32) * factor
        memory = memory * kept + product(tl.trans(scaled), rows_b.to(tl.float32), DOT)
    tl.store(S + ((g * (chunks + 1) + (0 if REVERSE else chunks)) * K * V) + at_block, memory, mask=block)


@triton.jit
def _weight(row, col, C: tl.constexpr):  # type: ignore[no-untyped-def]
    """e^{row_i + col_j} for j <= i, else 0; masked before the exponential, which may overflow above the diagonal."""
    past = tl.arange(0, C)[:, None] >= tl.arange(0, C)[None, :]
    return tl.exp(tl.where(past, (row[:, None] + col[None, :]).to(tl.float32), float("-inf")))


@triton.jit
def _row(rows, j, C: tl.constexpr):  # type: ignore[no-untyped-def]
    """Row j of a tile as [1, K]."""
    return tl.sum(tl.where((tl.arange(0, C) == j)[:, None], rows, 0.0), 0)[None, :]


@triton.jit
def _step_weight(row, col, j, C: tl.constexpr):  # type: ignore[no-untyped-def]
    """e^{row_i + col_j} [C, K] of one step j under vector gates, and 0 for i < j."""
    exponent = (row + _row(col, j, C)).to(tl.float32)
    return tl.exp(tl.where((tl.arange(0, C) >= j)[:, None], exponent, float("-inf")))


@triton.jit
def _vector_scores(rows_q, rows_k, row, col, C: tl.constexpr):  # type: ignore[no-untyped-def]
    """Scores [C, C] under vector gates, one column at a time."""
    scores = tl.zeros((C, C), dtype=tl.float32)
    for j in range(0, C):
        column = tl.sum(rows_q * _step_weight(row, col, j, C) * _row(rows_k, j, C), 1)
        scores = tl.where((tl.arange(0, C) == j)[None, :], column[:, None], scores)
    return scores


@tuned([{"BLOCK_V": 64}, {"BLOCK_V": 32}, {"BLOCK_V": 128}], ["T", "K", "V"], [4, 8])
@triton.jit
def _outputs(  # type: ignore[no-untyped-def]
    q, k, v, row, col, read, S, y, T, chunks, K, V,
    C: tl.constexpr, VECTOR: tl.constexpr, DOT: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """One chunk's answers for a block of value channels: scores times values, plus the entering state."""
    g = (tl.program_id(0) // chunks).to(tl.int64)
    c = tl.program_id(0) % chunks
    i = tl.arange(0, C)
    t = c * C + i
    e = tl.arange(0, BLOCK_K)
    w = tl.program_id(1) * BLOCK_V + tl.arange(0, BLOCK_V)
    at_keys = (g * T + t)[:, None] * K + e[None, :]
    at_values = (g * T + t)[:, None] * V + w[None, :]
    keys = (t < T)[:, None] & (e < K)[None, :]
    values = (t < T)[:, None] & (w < V)[None, :]
    rows_q = tl.load(q + at_keys, mask=keys, other=0.0).to(tl.float32)
    rows_k = tl.load(k + at_keys, mask=keys, other=0.0).to(tl.float32)
    rows_v = tl.load(v + at_values, mask=values, other=0.0).to(tl.float32)
    step = g * chunks * C + t
    if VECTOR:
        at_gate = step[:, None] * K + e[None, :]
        row_ik = tl.load(row + at_gate, mask=(e < K)[None, :], other=0.0)
        read_ik = tl.exp(tl.load(read + at_gate, mask=(e < K)[None, :], other=0.0))
        col_jk = tl.load(col + at_gate, mask=(e < K)[None, :], other=0.0)
        scores = _vector_scores(rows_q, rows_k, row_ik, col_jk, C)
    else:
        read_ik = tl.exp(tl.load(read + step))[:, None]
        scores = product(rows_q, tl.trans(rows_k), DOT) * _weight(tl.load(row + step), tl.load(col + step), C)
    at_state = S + (g * (chunks + 1) + c) * K * V + e[:, None] * V + w[None, :]
    memory = tl.load(at_state, mask=(e < K)[:, None] & (w < V)[None, :], other=0.0)
    answer = product(scores, rows_v, DOT) + product(rows_q * read_ik, memory, DOT)
    tl.store(y + at_values, answer.to(y.dtype.element_ty), mask=values)


@tuned([{"BLOCK_V": 32}, {"BLOCK_V": 64}], ["T", "K", "V"], [4, 8])
@triton.jit
def _gradients(  # type: ignore[no-untyped-def]
    q, k, v, row, col, read, write, S, dS, dy, dq, dk, dv, d_row, d_col, T, chunks, K, V,
    C: tl.constexpr, VECTOR: tl.constexpr, DOT: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """One chunk's gradients of q, k, v and of the exponents that scale q and k."""
    g = (tl.program_id(0) // chunks).to(tl.int64)
    c = tl.program_id(0) % chunks
    i = tl.arange(0, C)
    t = c * C + i
    e = tl.arange(0, BLOCK_K)
    at_keys = (g * T + t)[:, None] * K + e[None, :]
    keys = (t < T)[:, None] & (e < K)[None, :]
    rows_q = tl.load(q + at_keys, mask=keys, other=0.0).to(tl.float32)
    rows_k = tl.load(k + at_keys, mask=keys, other=0.0).to(tl.float32)
    step = g * chunks * C + t
    if VECTOR:
        at_gate = step[:, None] * K + e[None, :]
        row_ik = tl.load(row + at_gate, mask=(e < K)[None, :], other=0.0)
        read_ik = tl.exp(tl.load(read + at_gate, mask=(e < K)[None, :], other=0.0))
        write_jk = tl.exp(tl.load(write + at_gate, mask=(e < K)[None, :], other=0.0))
        col_jk = tl.load(col + at_gate, mask=(e < K)[None, :], other=0.0)
        scores = _vector_scores(rows_q, rows_k, row_ik, col_jk, C)
    else:
        read_ik = tl.exp(tl.load(read + step))[:, None]
        write_jk = tl.exp(tl.load(write + step))[:, None]
        weight = _weight(tl.load(row + step), tl.load(col + step), C)
        scores = product(rows_q, tl.trans(rows_k), DOT) * weight
    d_scores = tl.zeros((C, C), dtype=tl.float32)
    rows_dq = tl.zeros((C, BLOCK_K), dtype=tl.float32)
    rows_dk = tl.zeros((C, BLOCK_K), dtype=tl.float32)
    for begin in range(0, V, BLOCK_V):
        w = begin + tl.arange(0, BLOCK_V)
        at_values = (g * T + t)[:, None] * V + w[None, :]
        values = (t < T)[:, None] & (w < V)[None, :]
        rows_v = tl.load(v + at_values, mask=values, other=0.0).to(tl.float32)
        rows_dy = tl.load(dy + at_values, mask=values, other=0.0).to(tl.float32)
        at_state = (g * (chunks + 1) + c) * K * V + e[:, None] * V + w[None, :]
        inside = (e < K)[:, None] & (w < V)[None, :]
        before = tl.load(S + at_state, mask=inside, other=0.0)
        after = tl.load(dS + at_state + K * V, mask=inside, other=0.0)
        d_scores += product(rows_dy, tl.trans(rows_v), DOT)
        rows_dq += product(rows_dy, tl.trans(before), DOT)
        rows_dk += product(rows_v, tl.trans(after), DOT)
        rows_dv = product(tl.trans(scores), rows_dy, DOT) + product(rows_k * write_jk, after, DOT)
        tl.store(dv + at_values, rows_dv.to(dv.dtype.element_ty), mask=values)
    rows_dq *= read_ik
    rows_dk *= write_jk
    if VECTOR:
        for j in range(0, C):
            factor = _step_weight(row_ik, col_jk, j, C)
            factor *= tl.sum(tl.where((i == j)[None, :], d_scores, 0.0), 1)[:, None]
            rows_dq += factor * _row(rows_k, j, C)
            rows_dk += tl.where((i == j)[:, None], tl.sum(factor * rows_q, 0)[None, :], 0.0)
        tl.store(d_row + at_gate, rows_q * rows_dq, mask=(e < K)[None, :])
        tl.store(d_col + at_gate, rows_k * rows_dk, mask=(e < K)[None, :])
    else:
        d_scores *= weight
        rows_dq += product(d_scores, rows_k, DOT)
        rows_dk += product(tl.trans(d_scores), rows_q, DOT)
        tl.store(d_row + step, tl.sum(rows_q * rows_dq, 1))
        tl.store(d_col + step, tl.sum(rows_k * rows_dk, 1))
    tl.store(dq + at_keys, rows_dq.to(dq.dtype.element_ty), mask=keys)
    tl.store(dk + at_keys, rows_dk.to(dk.dtype.element_ty), mask=keys)


def _types(half: str, single: str, double: str = "") -> dict[str, str]:
    """Triton types of the named arrays, by precision, and of the four sizes."""
    named = (("*bf16", half), ("*fp32", single), ("*fp64", double))
    arrays = {name: kind for kind, names in named for name in names.split()}
    return arrays | dict.fromkeys(("T", "chunks", "K", "V"), "i32")


AHEAD = (
    Ahead(_states.fn, _types("a b", "exponent decay start S"),
          {"C": 64, "VECTOR": False, "DOT": tl.bfloat16, "REVERSE": True, "BLOCK_K": 64, "BLOCK_V": 64}),
    Ahead(_outputs.fn, _types("q k v y", "read S", "row col"),
          {"C": 64, "VECTOR": False, "DOT": tl.bfloat16, "BLOCK_K": 128, "BLOCK_V": 64}),
    Ahead(_gradients.fn, _types("q k v dy dq dk dv", "read write S dS d_row d_col", "row col"),
          {"C": 64, "VECTOR": False, "DOT": tl.bfloat16, "BLOCK_K": 128, "BLOCK_V": 64}),
    Ahead(_gradients.fn, _types("q k v dy dq dk dv", "read write S dS d_row d_col", "row col"),
          {"C": 16, "VECTOR": True, "DOT": tl.bfloat16, "BLOCK_K": 64, "BLOCK_V": 64}),
)  # fmt: skip
