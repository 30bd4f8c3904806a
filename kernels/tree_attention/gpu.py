"""How is masked attention done on a GPU? Tiles with a running softmax; long rows are split and their parts combined.

A tree of a few queries over a long cache has little to compute and much to read, so the keys of one row are split
over programs, each of which leaves (maximum, sum, weighted values) of its part. The mask is read only for the last M
keys. The query heads that share a key head are further queries of one tile, so that its keys are read once. The
backward pass is one kernel over queries and one over keys, from the saved log-sum.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from harness.api.errors import UsageError
from harness.kernels._ahead_of_time import Ahead
from harness.kernels._dispatch import interpreting
from harness.kernels._products import product, product_type

# B batch, H query heads, G key heads, T queries, R rows of a key head (R = H / G * T), S keys, M keys under the mask
# P parts of a split, D and E widths
WIDEST = 256  # the tiles of wider heads do not fit shared memory
PROGRAMS = 264  # two for each of an H100's 132 multiprocessors


def tree_attention(
    query_BHTD: torch.Tensor,
    key_BGSD: torch.Tensor,
    value_BGSE: torch.Tensor,
    visible_BTM: torch.Tensor,
    lengths: tuple[int, ...] | None = None,
    scale: float | None = None,
) -> torch.Tensor:
    """As the reference, for heads up to 256 wide (once differentiable). Raises UsageError for wider ones."""
    batch, heads, queries, width = query_BHTD.shape
    groups, keys, value_width = key_BGSD.shape[1], key_BGSD.shape[2], value_BGSE.shape[3]
    if max(width, value_width) > WIDEST:
        raise UsageError(
            f"tree_attention: heads are {max(width, value_width)} wide; the gpu path holds {WIDEST}. "
            "Pass path='reference', or move the tensors to the cpu."
        )
    if query_BHTD.dtype == torch.float64:
        raise UsageError(
            "tree_attention: the gpu path computes in float32; cast the arguments, or pass path='reference'."
        )
    if not (query_BHTD.numel() and keys):
        return query_BHTD[..., :0].sum(3, keepdim=True) + value_BGSE.sum() * query_BHTD.new_zeros(value_width)
    counts = torch.tensor(lengths or (keys,) * batch, dtype=torch.int32, device=query_BHTD.device)
    grouped_BGRD = query_BHTD.reshape(batch, groups, heads // groups * queries, width)
    scale = width**-0.5 if scale is None else scale
    answer = _Attend.apply(grouped_BGRD, key_BGSD, value_BGSE, visible_BTM, counts, scale, queries)
    return answer.reshape(batch, heads, queries, value_width)


class _Attend(torch.autograd.Function):
    """Forward over parts of the keys; backward over queries, then over keys."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        visible: torch.Tensor,
        counts: torch.Tensor,
        scale: float,
        queries: int,
    ) -> torch.Tensor:
        batch, groups, rows, width = query.shape
        keys, value_width, tiles = key.shape[2], value.shape[3], _tiles(query.dtype, query.shape, value.shape)
        blocks = triton.cdiv(rows, tiles["BLOCK_R"])
        shortest = 2 * tiles["BLOCK_S"] if interpreting() else 256
        parts = max(1, min(triton.cdiv(keys, shortest), PROGRAMS // (blocks * batch * groups)))
        span = triton.cdiv(triton.cdiv(keys, parts), tiles["BLOCK_S"]) * tiles["BLOCK_S"]
        parts = triton.cdiv(keys, span)
        query = query.contiguous()
        high = query.new_empty(batch, groups, parts, rows, dtype=torch.float32)
        total, mixed = torch.empty_like(high), high.new_empty(*high.shape, value_width)
        _forward[(blocks, batch * groups, parts)](
            query, key, value, visible.view(torch.uint8), counts, high, total, mixed,
            *key.stride(), *value.stride(), *visible.stride(),
            groups, rows, queries, visible.shape[2], width, value_width, span, scale, **tiles,
        )  # fmt: skip
        # parts that saw nothing weigh nothing, and a row of which all are such answers zero
        highest = high.amax(2)
        share = torch.exp(high - highest.masked_fill(highest == -torch.inf, 0.0).unsqueeze(2))
        sums = (share * total).sum(2)
        answer = ((share.unsqueeze(4) * mixed).sum(2) / sums.masked_fill(sums == 0, 1.0).unsqueeze(3)).to(query.dtype)
        log_sum = torch.where(sums > 0, highest + torch.log(sums), torch.inf)
        ctx.save_for_backward(query, key, value, visible, counts, answer, log_sum)
        ctx.scale, ctx.queries, ctx.tiles = scale, queries, tiles
        return answer

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, visible, counts, answer, log_sum = ctx.saved_tensors
        batch, groups, rows, width = query.shape
        grad = grad.contiguous()
        delta = (grad.float() * answer.float()).sum(3)
        grad_query = torch.empty_like(query)
        grad_key, grad_value = (query.new_empty(item.shape) for item in (key, value))
        shared = (
            query, key, value, visible.view(torch.uint8), counts, grad, log_sum, delta,
            *key.stride(), *value.stride(), *visible.stride(),
            groups, rows, ctx.queries, visible.shape[2], key.shape[2], width, value.shape[3], ctx.scale,
        )  # fmt: skip
        blocks = triton.cdiv(rows, ctx.tiles["BLOCK_R"]), triton.cdiv(key.shape[2], ctx.tiles["BLOCK_S"])
        _backward_query[(blocks[0], batch * groups)](*shared, grad_query, **ctx.tiles)
        _backward_key[(blocks[1], batch * groups)](*shared, grad_key, grad_value, **ctx.tiles)
        return grad_query, grad_key, grad_value, None, None, None, None


def _tiles(dtype: torch.dtype, query: torch.Size, value: torch.Size) -> dict[str, Any]:
    """Tile sizes: small where the interpreter runs them, or where a head is wide."""
    block_d, block_e = (max(16, triton.next_power_of_2(shape[3])) for shape in (query, value))
    wide = max(block_d, block_e) * (2 if dtype == torch.float32 else 1)
    side = 16 if interpreting() else 64 if wide <= 128 else 32 if wide <= 256 else 16
    rows = min(side, max(16, triton.next_power_of_2(query[2])))
    return {
        "BLOCK_R": rows, "BLOCK_S": side, "BLOCK_D": block_d, "BLOCK_E": block_e, "DOT": product_type(dtype)
    }  # fmt: skip


@triton.jit
def _tile(at, row_stride, column_stride, row, column, rows, columns, DOT: tl.constexpr):  # type: ignore[no-untyped-def]
    """A masked tile [row, column], ready for a product; bfloat16 passes through float32 for the interpreter's sake."""
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    offset = row.to(tl.int64)[:, None] * row_stride + column[None, :] * column_stride
    return tl.load(at + offset, mask=inside, other=0.0).to(tl.float32).to(DOT)


@triton.jit
def _scores(q, k, scale, visible, visible_t, visible_m, r, s, R, T, M, count, DOT: tl.constexpr):  # type: ignore[no-untyped-def]
    """Scaled products [BLOCK_R, BLOCK_S], minus infinity where a query does not see a key."""
    t = r % T
    m = s - (count - M)
    inside = (r < R)[:, None] & (s < count)[None, :]
    masked = inside & (m >= 0)[None, :]
    at = visible + t[:, None] * visible_t + m[None, :] * visible_m
    sees = tl.load(at, mask=masked, other=1) != 0
    return tl.where(inside & sees, product(q, tl.trans(k), DOT) * scale, float("-inf"))


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    query, key, value, visible, counts, high, total, mixed,
    key_b, key_g, key_s, key_d, value_b, value_g, value_s, value_e, visible_b, visible_t, visible_m,
    G, R, T, M, D, E, SPAN, scale,
    BLOCK_R: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    pair, part = tl.program_id(1).to(tl.int64), tl.program_id(2)
    b, g = pair // G, pair % G
    r = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    d, e = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_E)
    count = tl.load(counts + b)
    q = _tile(query + pair * R * D, D, 1, r, d, R, D, DOT)
    top = tl.full((BLOCK_R,), float("-inf"), tl.float32)
    mass = tl.zeros((BLOCK_R,), tl.float32)
    mix = tl.zeros((BLOCK_R, BLOCK_E), tl.float32)
    begin = part * SPAN
    end = tl.minimum(begin + SPAN, count)
    while begin < end:
        s = begin + tl.arange(0, BLOCK_S)
        k = _tile(key + b * key_b + g * key_g, key_s, key_d, s, d, count, D, DOT)
        v = _tile(value + b * value_b + g * value_g, value_s, value_e, s, e, count, E, DOT)
        score = _scores(q, k, scale, visible + b * visible_b, visible_t, visible_m, r, s, R, T, M, count, DOT)
        new = tl.maximum(top, tl.max(score, 1))
        # a row that has seen nothing yet has no finite maximum to subtract
        safe = tl.where(new == float("-inf"), 0.0, new)
        weight = tl.exp(score - safe[:, None])
        keep = tl.exp(top - safe)
        mass = mass * keep + tl.sum(weight, 1)
        mix = mix * keep[:, None] + product(weight, v, DOT)
        top = new
        begin += BLOCK_S
    row = (pair * tl.num_programs(2) + part) * R + r
    tl.store(high + row, top, mask=r < R)
    tl.store(total + row, mass, mask=r < R)
    tl.store(mixed + row[:, None] * E + e[None, :], mix, mask=(r < R)[:, None] & (e < E)[None, :])


@triton.jit
def _backward_query(  # type: ignore[no-untyped-def]
    query, key, value, visible, counts, grad, log_sum, delta,
    key_b, key_g, key_s, key_d, value_b, value_g, value_s, value_e, visible_b, visible_t, visible_m,
    G, R, T, M, S, D, E, scale, grad_query,
    BLOCK_R: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(1).to(tl.int64)
    b, g = pair // G, pair % G
    r = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    d, e = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_E)
    count = tl.load(counts + b)
    q = _tile(query + pair * R * D, D, 1, r, d, R, D, DOT)
    dy = _tile(grad + pair * R * E, E, 1, r, e, R, E, DOT)
    norm = tl.load(log_sum + pair * R + r, mask=r < R, other=float("inf"))
    shift = tl.load(delta + pair * R + r, mask=r < R, other=0.0)
    dq = tl.zeros((BLOCK_R, BLOCK_D), tl.float32)
    begin = 0
    while begin < count:
        s = begin + tl.arange(0, BLOCK_S)
        k = _tile(key + b * key_b + g * key_g, key_s, key_d, s, d, count, D, DOT)
        v = _tile(value + b * value_b + g * value_g, value_s, value_e, s, e, count, E, DOT)
        score = _scores(q, k, scale, visible + b * visible_b, visible_t, visible_m, r, s, R, T, M, count, DOT)
        weight = tl.exp(score - norm[:, None])
        dq += product(weight * (product(dy, tl.trans(v), DOT) - shift[:, None]), k, DOT)
        begin += BLOCK_S
    at = grad_query + (pair * R + r)[:, None] * D + d[None, :]
    tl.store(at, (dq * scale).to(grad_query.dtype.element_ty), mask=(r < R)[:, None] & (d < D)[None, :])


@triton.jit
def _backward_key(  # type: ignore[no-untyped-def]
    query, key, value, visible, counts, grad, log_sum, delta,
    key_b, key_g, key_s, key_d, value_b, value_g, value_s, value_e, visible_b, visible_t, visible_m,
    G, R, T, M, S, D, E, scale, grad_key, grad_value,
    BLOCK_R: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(1).to(tl.int64)
    b, g = pair // G, pair % G
    s = tl.program_id(0) * BLOCK_S + tl.arange(0, BLOCK_S)
    d, e = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_E)
    count = tl.load(counts + b)
    k = _tile(key + b * key_b + g * key_g, key_s, key_d, s, d, count, D, DOT)
    v = _tile(value + b * value_b + g * value_g, value_s, value_e, s, e, count, E, DOT)
    dk = tl.zeros((BLOCK_S, BLOCK_D), tl.float32)
    dv = tl.zeros((BLOCK_S, BLOCK_E), tl.float32)
    begin = 0
    while begin < R:
        r = begin + tl.arange(0, BLOCK_R)
        q = _tile(query + pair * R * D, D, 1, r, d, R, D, DOT)
        dy = _tile(grad + pair * R * E, E, 1, r, e, R, E, DOT)
        norm = tl.load(log_sum + pair * R + r, mask=r < R, other=float("inf"))
        shift = tl.load(delta + pair * R + r, mask=r < R, other=0.0)
        score = _scores(q, k, scale, visible + b * visible_b, visible_t, visible_m, r, s, R, T, M, count, DOT)
        weight = tl.exp(score - norm[:, None])
        dv += product(tl.trans(weight), dy, DOT)
        dscore = weight * (product(dy, tl.trans(v), DOT) - shift[:, None])
        dk += product(tl.trans(dscore), q, DOT)
        begin += BLOCK_R
    row = pair * S + s
    at_k, at_v = grad_key + row[:, None] * D + d[None, :], grad_value + row[:, None] * E + e[None, :]
    tl.store(at_k, (dk * scale).to(grad_key.dtype.element_ty), mask=(s < S)[:, None] & (d < D)[None, :])
    tl.store(at_v, dv.to(grad_value.dtype.element_ty), mask=(s < S)[:, None] & (e < E)[None, :])


def _ahead(kernel: Any, kind: str, width: int, side: int) -> Ahead:
    half = kind != "fp32"
    outputs = {"_forward": (), "_backward_query": ("grad_query",), "_backward_key": ("grad_key", "grad_value")}
    arguments = {name: "i32" for name in kernel.arg_names if not name.startswith(("BLOCK", "DOT"))}
    for name in ("query", "key", "value", "grad", *outputs[kernel.__name__]):
        if name in arguments:
            arguments[name] = f"*{kind}"
    for name in ("high", "total", "mixed", "log_sum", "delta"):
        if name in arguments:
            arguments[name] = "*fp32"
    arguments.update(visible="*u8", counts="*i32", scale="fp32")
    dot = tl.bfloat16 if half else tl.float32
    tiles = {"BLOCK_R": side, "BLOCK_S": side, "BLOCK_D": width, "BLOCK_E": width, "DOT": dot}
    return Ahead(kernel, arguments, tiles)


AHEAD = tuple(
    _ahead(kernel, kind, width, side)
    for kernel in (_forward, _backward_query, _backward_key)
    for kind, width, side in (("bf16", 128, 64), ("fp32", 64, 64))
)
