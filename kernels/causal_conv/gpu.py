"""How a dilated causal convolution runs on a GPU: one kernel of shifted loads, and one that collects tap gradients.

The past is put in front of the sequence first. Forward reads `source[s + offset - j dilation]`; the gradient of the
source is the same kernel with the shift turned round and the channels of the weight exchanged.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from harness.kernels._ahead_of_time import Ahead
from harness.kernels._products import product, product_type
from harness.kernels._tuning import tuned

# B batch, M channels out of a kernel, N channels into it, T steps out, S steps in, J taps, P steps of the past


def causal_conv(
    x_BCT: torch.Tensor,
    weight: torch.Tensor,
    bias_O: torch.Tensor | None = None,
    past_BCP: torch.Tensor | None = None,
    dilation: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The causal convolution of `reference.py` in Triton (once differentiable)."""
    length, span = x_BCT.shape[2], (weight.shape[-1] - 1) * dilation
    past = x_BCT.new_zeros(*x_BCT.shape[:2], span) if past_BCP is None else past_BCP.to(x_BCT.dtype)
    all_BCT = torch.cat((past, x_BCT), 2)
    bias = x_BCT.new_zeros(weight.shape[0]) if bias_O is None else bias_O
    return _Convolution.apply(all_BCT, weight.contiguous(), bias, dilation), all_BCT[:, :, length:]


class _Convolution(torch.autograd.Function):
    """y[b, m, t] = bias_m + sum_{n, j} w[m, n, j] source[b, n, P + t - j dilation]; n = m when depthwise."""

    @staticmethod
    def forward(
        ctx: Any, source: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int
    ) -> torch.Tensor:
        span = (weight.shape[-1] - 1) * dilation
        y = source.new_empty(source.shape[0], weight.shape[0], source.shape[2] - span)
        strides = (0, *weight.stride()) if weight.ndim == 2 else weight.stride()
        _convolve(source, weight, strides, bias, y, span, -dilation)
        ctx.save_for_backward(source, weight)
        ctx.dilation = dilation
        return y

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        source, weight = ctx.saved_tensors
        dy, taps = dy.contiguous(), weight.shape[-1]
        span = (taps - 1) * ctx.dilation
        d_source = torch.empty_like(source)
        strides = (0, *weight.stride()) if weight.ndim == 2 else (weight.stride(1), weight.stride(0), weight.stride(2))
        _convolve(dy, weight, strides, None, d_source, -span, ctx.dilation)
        partial = torch.zeros(dy.shape[0], *weight.shape, dtype=torch.float32, device=dy.device)
        if dy.numel():
            each = weight.ndim == 2
            _tap_gradients[
                lambda meta: (
                    dy.shape[0] * taps,
                    triton.cdiv(dy.shape[1], meta["BLOCK_M"]),
                    1 if each else triton.cdiv(source.shape[1], meta["BLOCK_N"]),
                )
            ](source, dy, partial, source.shape[2], dy.shape[2], dy.shape[1], source.shape[1], taps, span,
              ctx.dilation, EACH=each, DOT=product_type(source.dtype))  # fmt: skip
        return d_source, partial.sum(0).to(weight.dtype), dy.float().sum((0, 2)).to(weight.dtype), None


def _convolve(
    source: torch.Tensor, weight: torch.Tensor, strides: tuple[int, ...], bias: torch.Tensor | None,
    out: torch.Tensor, offset: int, step: int,
) -> None:  # fmt: skip
    if not out.numel():
        return
    batch, channels, steps = out.shape
    _shifted[lambda meta: (batch, triton.cdiv(channels, meta["BLOCK_M"]), triton.cdiv(steps, meta["BLOCK_T"]))](
        source, weight, weight if bias is None else bias.contiguous(), out, *strides, source.shape[2], steps, channels,
        source.shape[1], weight.shape[-1], offset, step, EACH=weight.ndim == 2, BIAS=bias is not None,
        DOT=product_type(source.dtype),
    )  # fmt: skip


@tuned([{"BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_T": 64}, {"BLOCK_M": 16, "BLOCK_N": 16, "BLOCK_T": 256},
        {"BLOCK_M": 64, "BLOCK_N": 32, "BLOCK_T": 64}], ["T", "M", "N", "J"], [4, 8])  # fmt: skip
@triton.jit
def _shifted(  # type: ignore[no-untyped-def]
    source, weight, bias, out, weight_m, weight_n, weight_j, S, T, M, N, J, offset, step,
    EACH: tl.constexpr, BIAS: tl.constexpr, DOT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_T: tl.constexpr,
):  # fmt: skip
    """A tile [BLOCK_M, BLOCK_T] of the output; EACH keeps channels apart, else they meet in a matrix product."""
    b = tl.program_id(0).to(tl.int64)
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    t = tl.program_id(2) * BLOCK_T + tl.arange(0, BLOCK_T)
    total = tl.zeros((BLOCK_M, BLOCK_T), dtype=tl.float32)
    if BIAS:
        total += tl.load(bias + m, mask=m < M, other=0.0).to(tl.float32)[:, None]
    for j in range(0, J):
        s = t + offset + step * j
        known = (s >= 0) & (s < S)
        if EACH:
            tap = tl.load(weight + m * weight_n + j * weight_j, mask=m < M, other=0.0).to(tl.float32)
            inside = (m < M)[:, None] & known[None, :]
            total += tap[:, None] * tl.load(source + (b * N + m)[:, None] * S + s[None, :], mask=inside, other=0.0).to(
                tl.float32
            )
        else:
            for begin in range(0, N, BLOCK_N):
                n = begin + tl.arange(0, BLOCK_N)
                at_tap = weight + m[:, None] * weight_m + n[None, :] * weight_n + j * weight_j
                tap = tl.load(at_tap, mask=(m < M)[:, None] & (n < N)[None, :], other=0.0).to(tl.float32)
                inside = (n < N)[:, None] & known[None, :]
                steps = tl.load(source + (b * N + n)[:, None] * S + s[None, :], mask=inside, other=0.0).to(tl.float32)
                total += product(tap, steps, DOT)
    at_out = out + (b * M + m)[:, None] * T + t[None, :]
    tl.store(at_out, total.to(out.dtype.element_ty), mask=(m < M)[:, None] & (t < T)[None, :])


@tuned([{"BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_T": 64}, {"BLOCK_M": 16, "BLOCK_N": 16, "BLOCK_T": 128}],
       ["T", "M", "N", "J"], [4, 8])  # fmt: skip
@triton.jit
def _tap_gradients(  # type: ignore[no-untyped-def]
    source, dy, partial, S, T, M, N, J, offset, dilation,
    EACH: tl.constexpr, DOT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_T: tl.constexpr,
):  # fmt: skip
    """One tap of one row of the batch: sum over time of dy times the source that the tap met."""
    b = (tl.program_id(0) // J).to(tl.int64)
    j = tl.program_id(0) % J
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(2) * BLOCK_N + tl.arange(0, BLOCK_N)
    each = tl.zeros((BLOCK_M,), dtype=tl.float32)
    both = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for begin in range(0, T, BLOCK_T):
        t = begin + tl.arange(0, BLOCK_T)
        s = t + offset - dilation * j
        inside = (m < M)[:, None] & (t < T)[None, :]
        rows_dy = tl.load(dy + (b * M + m)[:, None] * T + t[None, :], mask=inside, other=0.0).to(tl.float32)
        if EACH:
            met = tl.load(source + (b * N + m)[:, None] * S + s[None, :], mask=inside, other=0.0).to(tl.float32)
            each += tl.sum(rows_dy * met, 1)
        else:
            inside = (n < N)[:, None] & (t < T)[None, :]
            met = tl.load(source + (b * N + n)[:, None] * S + s[None, :], mask=inside, other=0.0).to(tl.float32)
            both += product(rows_dy, tl.trans(met), DOT)
    if EACH:
        tl.store(partial + (b * M + m) * J + j, each, mask=m < M)
    else:
        at_both = partial + ((b * M + m)[:, None] * N + n[None, :]) * J + j
        tl.store(at_both, both, mask=(m < M)[:, None] & (n < N)[None, :])


def _types(arrays: str, numbers: str) -> dict[str, str]:
    return dict.fromkeys(arrays.split(), "*bf16") | dict.fromkeys(numbers.split(), "i32")


AHEAD = tuple(
    entry
    for each in (True, False)
    for entry in (
        Ahead(_shifted.fn, _types("source weight bias out", "weight_m weight_n weight_j S T M N J offset step"),
              {"EACH": each, "DOT": tl.bfloat16, "BIAS": True, "BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_T": 64}),
        Ahead(_tap_gradients.fn, _types("source dy", "S T M N J offset dilation") | {"partial": "*fp32"},
              {"EACH": each, "DOT": tl.bfloat16, "BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_T": 64}),
    )
)  # fmt: skip
