"""How does a head-wise recurrent network run on a GPU? One program keeps a head's weights for a block of rows.

The program walks time alone: nothing crosses programs, so that there is nothing to wait for. Forward leaves each step's
pre-activations and states; backward walks back over them and leaves the gradient of every pre-activation, from which
one matrix product makes the weights' gradient.
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
from harness.kernels.fused_rnn.reference import CELLS, Cell, initial

# B batch, T time, H heads, D width of a head, E width in (E = D), S states
# G input gates, K recurrent gates, J biases, I width of an unprojected input, Q pre-activations that are kept
WIDEST = 64  # the weights of four gates of a wider head do not stay resident
ROWS = 16  # rows of a program: the least that the matrix units take

KINDS = {"elman": 0, "lstm": 1, "gru": 2, "slstm": 3}


def fused_rnn(
    x: torch.Tensor,
    recurrent_KHDE: torch.Tensor,
    bias_JHD: torch.Tensor,
    start_SBHD: torch.Tensor | None = None,
    project_GHDI: torch.Tensor | None = None,
    *,
    cell: Cell = "lstm",
) -> tuple[torch.Tensor, torch.Tensor]:
    """As the reference, for heads up to 64 wide (once differentiable). UsageError for wider ones."""
    width = bias_JHD.shape[2]
    if width > WIDEST:
        raise UsageError(
            f"fused_rnn: heads are {width} wide; the gpu path keeps weights resident up to {WIDEST}. "
            "Use more heads, pass path='reference', or move the tensors to the cpu."
        )
    if x.dtype == torch.float64:
        raise UsageError("fused_rnn: the gpu path computes in float32; cast the arguments, or pass path='reference'.")
    start = initial(x, bias_JHD, cell) if start_SBHD is None else start_SBHD.to(accumulator(x.dtype))
    if project_GHDI is not None:
        x = (x @ project_GHDI.flatten(0, 2).T).unflatten(2, project_GHDI.shape[:3])
    output_BTHD, last_SBHD = _Run.apply(cell, x, recurrent_KHDE, bias_JHD, start)
    return output_BTHD, last_SBHD


class _Run(torch.autograd.Function):
    """Time forward, then back; the weights' gradient is one product over all steps."""

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, x: torch.Tensor, recurrent: torch.Tensor, bias: torch.Tensor, start: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        batch, length, _, heads, width = x.shape
        kept = x.new_empty(batch, length, len(CELLS[cell].biases), heads, width, dtype=start.dtype)
        states = start.new_empty(len(start), batch, length + 1, heads, width)
        states[:, :, 0] = start
        recurrent, options = recurrent.contiguous(), _options(cell, x.dtype, width)
        if x.numel():
            _forward[(triton.cdiv(batch, ROWS), heads)](
                x, recurrent, bias.contiguous(), kept, states, *x.stride(), batch, length, heads, width, **options
            )
        ctx.save_for_backward(recurrent, kept, states)
        ctx.cell, ctx.dtype = cell, x.dtype
        return states[0, :, 1:].to(x.dtype), states[:, :, -1].clone()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, output: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        recurrent, kept, states = ctx.saved_tensors
        batch, length, _, heads, width = kept.shape
        grad, start = torch.empty_like(kept), last.contiguous().clone()
        if kept.numel():
            _backward[(triton.cdiv(batch, ROWS), heads)](
                recurrent, kept, states, output.contiguous(), grad, start,
                batch, length, heads, width, **_options(ctx.cell, ctx.dtype, width),
            )  # fmt: skip
        # GRU keeps (g, r, z, n): the first three have recurrent weights, the last three an input
        gates = recurrent.shape[0]
        weights = torch.einsum("btkhd,bthe->khde", grad[:, :, :gates], states[0, :, :-1])
        bias = grad.sum((0, 1))
        inputs = grad[:, :, 1:] if ctx.cell == "gru" else grad
        kind = ctx.dtype
        return None, inputs.to(kind), weights.to(kind), bias.to(kind), start


def _options(cell: Cell, dtype: torch.dtype, width: int) -> dict[str, Any]:
    block, dot = max(16, triton.next_power_of_2(width)), product_type(dtype)
    return {
        "CELL": KINDS[cell], "ROWS": ROWS, "BLOCK_D": block, "DOT": dot,
        "num_warps": _warps(dot, block), "num_stages": 1,
    }  # fmt: skip


def _warps(dot: Any, width: int) -> int:
    """Three tf32 products a gate of a wide head take twice the registers; in four warps they compile for minutes."""
    return 8 if dot == tl.float32 and width > 32 else 4


@triton.jit
def _tanh(x):  # type: ignore[no-untyped-def]
    # the larger exponential never appears, so that nothing overflows
    small = tl.exp(-2.0 * tl.abs(x))
    size = (1.0 - small) / (1.0 + small)
    return tl.where(x < 0, -size, size)


@triton.jit
def _logistic(x):  # type: ignore[no-untyped-def]
    small = tl.exp(-tl.abs(x))
    return tl.where(x < 0, small, 1.0) / (1.0 + small)


@triton.jit
def _log_logistic(x):  # type: ignore[no-untyped-def]
    return tl.minimum(x, 0.0) - tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _weight(recurrent, gate, h, H, D, row, column, BLOCK_D: tl.constexpr):  # type: ignore[no-untyped-def]
    """R[gate, h] at [row, column] = [out, in]."""
    at = recurrent + ((gate * H + h) * D + row) * D + column
    return tl.load(at, mask=(row < D) & (column < D), other=0.0).to(tl.float32)


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    x, recurrent, bias, kept, states, x_b, x_t, x_g, x_h, x_d, B, T, H, D,
    CELL: tl.constexpr, ROWS: tl.constexpr, BLOCK_D: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """CELL: 0 Elman, 1 LSTM, 2 GRU, 3 sLSTM."""
    b = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None].to(tl.int64)
    h = tl.program_id(1)
    d = tl.arange(0, BLOCK_D)[None, :]
    inside = (b < B) & (d < D)
    out, into = tl.arange(0, BLOCK_D)[None, :], tl.arange(0, BLOCK_D)[:, None]
    GATES: tl.constexpr = 1 if CELL == 0 else 3 if CELL == 2 else 4
    KEPT: tl.constexpr = 1 if CELL == 0 else 4
    w0 = _weight(recurrent, 0, h, H, D, out, into, BLOCK_D).to(DOT)
    b0 = tl.load(bias + h * D + d, mask=d < D, other=0.0).to(tl.float32)
    if GATES > 1:
        w1 = _weight(recurrent, 1, h, H, D, out, into, BLOCK_D).to(DOT)
        w2 = _weight(recurrent, 2, h, H, D, out, into, BLOCK_D).to(DOT)
        b1 = tl.load(bias + (H + h) * D + d, mask=d < D, other=0.0).to(tl.float32)
        b2 = tl.load(bias + (2 * H + h) * D + d, mask=d < D, other=0.0).to(tl.float32)
        b3 = tl.load(bias + (3 * H + h) * D + d, mask=d < D, other=0.0).to(tl.float32)
    if GATES > 3:
        w3 = _weight(recurrent, 3, h, H, D, out, into, BLOCK_D).to(DOT)
    step: tl.constexpr = 1
    plane = B.to(tl.int64) * (T + step) * H * D
    at_state = states + (b * (T + 1) * H + h) * D + d
    y = tl.load(at_state, mask=inside, other=0.0)
    if CELL == 1 or CELL == 3:
        c = tl.load(at_state + plane, mask=inside, other=0.0)
    if CELL == 3:
        n = tl.load(at_state + 2 * plane, mask=inside, other=1.0)
        m = tl.load(at_state + 3 * plane, mask=inside, other=0.0)
    at_x = x + b * x_b + h * x_h + d * x_d
    at_kept = kept + (b * T * KEPT * H + h) * D + d
    t = 0
    while t < T:
        at_state += H * D
        p0 = product(y, w0, DOT) + b0
        if CELL != 2:
            p0 += tl.load(at_x, mask=inside, other=0.0).to(tl.float32)
        tl.store(at_kept, p0, mask=inside)
        if GATES > 1:
            p1 = product(y, w1, DOT) + b1
            p2 = product(y, w2, DOT) + b2
            p3 = b3
            if CELL == 2:
                p1 += tl.load(at_x, mask=inside, other=0.0).to(tl.float32)
                p2 += tl.load(at_x + x_g, mask=inside, other=0.0).to(tl.float32)
                p3 += tl.load(at_x + 2 * x_g, mask=inside, other=0.0).to(tl.float32)
            else:
                p1 += tl.load(at_x + x_g, mask=inside, other=0.0).to(tl.float32)
                p2 += tl.load(at_x + 2 * x_g, mask=inside, other=0.0).to(tl.float32)
                p3 += tl.load(at_x + 3 * x_g, mask=inside, other=0.0).to(tl.float32) + product(y, w3, DOT)
            tl.store(at_kept + H * D, p1, mask=inside)
            tl.store(at_kept + 2 * H * D, p2, mask=inside)
            tl.store(at_kept + 3 * H * D, p3, mask=inside)
        if CELL == 0:
            y = _tanh(p0)
        if CELL == 1:
            c = _logistic(p1) * c + _logistic(p0) * _tanh(p2)
            y = _logistic(p3) * _tanh(c)
            tl.store(at_state + plane, c, mask=inside)
        if CELL == 2:
            candidate = _tanh(p3 + _logistic(p1) * p0)
            y = candidate + _logistic(p2) * (y - candidate)
        if CELL == 3:
            held = _log_logistic(p1) + m
            m = tl.maximum(p0, held)
            i, f = tl.exp(p0 - m), tl.exp(held - m)
            c = f * c + i * _tanh(p2)
            n = tl.maximum(f * n + i, 1.0)
            y = _logistic(p3) * c / n
            tl.store(at_state + plane, c, mask=inside)
            tl.store(at_state + 2 * plane, n, mask=inside)
            tl.store(at_state + 3 * plane, m, mask=inside)
        tl.store(at_state, y, mask=inside)
        at_x += x_t
        at_kept += KEPT * H * D
        t += 1


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    recurrent, kept, states, output, grad, start, B, T, H, D,
    CELL: tl.constexpr, ROWS: tl.constexpr, BLOCK_D: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """`start` [S, B, H, D] holds the last states' gradients on entry and the first ones' on return."""
    b = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None].to(tl.int64)
    h = tl.program_id(1)
    d = tl.arange(0, BLOCK_D)[None, :]
    inside = (b < B) & (d < D)
    out, into = tl.arange(0, BLOCK_D)[:, None], tl.arange(0, BLOCK_D)[None, :]
    GATES: tl.constexpr = 1 if CELL == 0 else 3 if CELL == 2 else 4
    KEPT: tl.constexpr = 1 if CELL == 0 else 4
    w0 = _weight(recurrent, 0, h, H, D, out, into, BLOCK_D).to(DOT)
    if GATES > 1:
        w1 = _weight(recurrent, 1, h, H, D, out, into, BLOCK_D).to(DOT)
        w2 = _weight(recurrent, 2, h, H, D, out, into, BLOCK_D).to(DOT)
    if GATES > 3:
        w3 = _weight(recurrent, 3, h, H, D, out, into, BLOCK_D).to(DOT)
    step: tl.constexpr = 1
    plane = B.to(tl.int64) * (T + step) * H * D
    row = B.to(tl.int64) * H * D
    at_start = start + (b * H + h) * D + d
    dy = tl.load(at_start, mask=inside, other=0.0)
    if CELL == 1 or CELL == 3:
        dc = tl.load(at_start + row, mask=inside, other=0.0)
    if CELL == 3:
        dn = tl.load(at_start + 2 * row, mask=inside, other=0.0)
        dm = tl.load(at_start + 3 * row, mask=inside, other=0.0)
    at_state = states + ((b * (T + 1) + T) * H + h) * D + d
    at_output = output + ((b * T + T - 1) * H + h) * D + d
    at_kept = kept + ((b * T + T - 1) * KEPT * H + h) * D + d
    at_grad = grad + ((b * T + T - 1) * KEPT * H + h) * D + d
    t = 0
    while t < T:
        before = at_state - H * D
        dy += tl.load(at_output, mask=inside, other=0.0).to(tl.float32)
        p0 = tl.load(at_kept, mask=inside, other=0.0)
        if GATES > 1:
            p1 = tl.load(at_kept + H * D, mask=inside, other=0.0)
            p2 = tl.load(at_kept + 2 * H * D, mask=inside, other=0.0)
            p3 = tl.load(at_kept + 3 * H * D, mask=inside, other=0.0)
        if CELL == 0:
            y = _tanh(p0)
            d0 = dy * (1.0 - y * y)
            dy = product(d0, w0, DOT)
        if CELL == 1:
            i, f, z, o = _logistic(p0), _logistic(p1), _tanh(p2), _logistic(p3)
            squashed = _tanh(tl.load(at_state + plane, mask=inside, other=0.0))
            c = tl.load(before + plane, mask=inside, other=0.0)
            dc += dy * o * (1.0 - squashed * squashed)
            d0, d1 = dc * z * i * (1.0 - i), dc * c * f * (1.0 - f)
            d2, d3 = dc * i * (1.0 - z * z), dy * squashed * o * (1.0 - o)
            dc = dc * f
        if CELL == 2:
            r, z = _logistic(p1), _logistic(p2)
            candidate = _tanh(p3 + r * p0)
            y = tl.load(before, mask=inside, other=0.0)
            d3 = dy * (1.0 - z) * (1.0 - candidate * candidate)
            d0, d1 = d3 * r, d3 * p0 * r * (1.0 - r)
            d2 = dy * (y - candidate) * z * (1.0 - z)
            dy = dy * z + product(d0, w0, DOT) + product(d1, w1, DOT) + product(d2, w2, DOT)
        if CELL == 3:
            c, n = (
                tl.load(at_state + plane, mask=inside, other=0.0),
                tl.load(at_state + 2 * plane, mask=inside, other=1.0),
            )
            m = tl.load(at_state + 3 * plane, mask=inside, other=0.0)
            c_old = tl.load(before + plane, mask=inside, other=0.0)
            n_old = tl.load(before + 2 * plane, mask=inside, other=1.0)
            held = _log_logistic(p1) + tl.load(before + 3 * plane, mask=inside, other=0.0)
            i, f, z, o = tl.exp(p0 - m), tl.exp(held - m), _tanh(p2), _logistic(p3)
            d3 = dy * c / n * o * (1.0 - o)
            dc += dy * o / n
            dn -= dy * o * c / (n * n)
            # a clamped normaliser is a constant
            dn = tl.where(f * n_old + i < 1.0, 0.0, dn)
            di, df = (dc * z + dn) * i, (dc * c_old + dn * n_old) * f
            d2 = dc * i * (1.0 - z * z)
            dm -= di + df
            chosen = tl.where(p0 > held, 1.0, tl.where(p0 == held, 0.5, 0.0))
            d0 = di + dm * chosen
            dheld = df + dm * (1.0 - chosen)
            d1 = dheld * _logistic(-p1)
            dc, dn, dm = dc * f, dn * f, dheld
        tl.store(at_grad, d0, mask=inside)
        if GATES > 1:
            tl.store(at_grad + H * D, d1, mask=inside)
            tl.store(at_grad + 2 * H * D, d2, mask=inside)
            tl.store(at_grad + 3 * H * D, d3, mask=inside)
        if GATES > 3:
            dy = product(d0, w0, DOT) + product(d1, w1, DOT) + product(d2, w2, DOT) + product(d3, w3, DOT)
        at_state = before
        at_output -= H * D
        at_kept -= KEPT * H * D
        at_grad -= KEPT * H * D
        t += 1
    tl.store(at_start, dy, mask=inside)
    if CELL == 1 or CELL == 3:
        tl.store(at_start + row, dc, mask=inside)
    if CELL == 3:
        tl.store(at_start + 2 * row, dn, mask=inside)
        tl.store(at_start + 3 * row, dm, mask=inside)


def _ahead(kernel: Any, kind: str, cell: int, width: int) -> Ahead:
    pointers = {"x": kind, "recurrent": kind, "bias": kind, "output": kind}
    arguments = {
        name: f"*{pointers.get(name, 'fp32')}" if name in (*pointers, "kept", "states", "grad", "start") else "i32"
        for name in kernel.arg_names
        if name not in ("CELL", "ROWS", "BLOCK_D", "DOT")
    }
    dot = tl.bfloat16 if kind == "bf16" else tl.float32
    constants = {"CELL": cell, "ROWS": ROWS, "BLOCK_D": width, "DOT": dot}
    return Ahead(kernel, arguments, constants, warps=_warps(dot, width), stages=1)


AHEAD = tuple(
    _ahead(kernel, kind, cell, width)
    for kernel in (_forward, _backward)
    for kind, cell, width in (("fp32", 1, 32), ("fp32", 3, 64), ("bf16", 3, 64))
)
