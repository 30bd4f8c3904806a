"""How is a Vandermonde filter made on a GPU? Each program sums a channel's exponentials for a block of steps.

Nothing of size [H, N, L] exists; exponentials are made in registers, and made again in the backward pass.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from harness.kernels._ahead_of_time import Ahead

# H channels, N exponentials of a channel, L steps of the filter
BLOCK_N, BLOCK_L = 32, 64
TURN = tl.constexpr(math.tau)


def vandermonde(weight_HN: torch.Tensor, rate_HN: torch.Tensor, length: int) -> torch.Tensor:
    """As the reference, one Triton kernel each way (once differentiable)."""
    filter_HL: torch.Tensor = _Sum.apply(weight_HN.resolve_conj(), rate_HN.resolve_conj(), length)
    return filter_HL


class _Sum(torch.autograd.Function):
    """Sums over n forward, over l backward."""

    @staticmethod
    def forward(ctx: Any, weight_HN: torch.Tensor, rate_HN: torch.Tensor, length: int) -> torch.Tensor:
        weight, rate = _real(weight_HN), _real(rate_HN)
        channels, states = weight_HN.shape
        filter_HL = weight.new_zeros(channels, length)
        if filter_HL.numel() and states:
            _forward[(channels, triton.cdiv(length, BLOCK_L))](
                weight, rate, filter_HL, states, length,
                COMPLEX=weight_HN.is_complex(), BLOCK_N=BLOCK_N, BLOCK_L=BLOCK_L,
            )  # fmt: skip
        ctx.save_for_backward(weight_HN, rate_HN)
        return filter_HL

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_HL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        weight_HN, rate_HN = ctx.saved_tensors
        sums = [torch.zeros_like(weight_HN, memory_format=torch.contiguous_format) for _ in range(2)]
        channels, states = weight_HN.shape
        if weight_HN.numel():
            _backward[(channels, triton.cdiv(states, BLOCK_N))](
                _real(rate_HN), grad_HL.contiguous(), _real(sums[0]), _real(sums[1]), states, grad_HL.shape[1],
                COMPLEX=weight_HN.is_complex(), BLOCK_N=BLOCK_N, BLOCK_L=BLOCK_L,
            )  # fmt: skip
        return sums[0].conj(), (weight_HN * sums[1]).conj(), None


def _real(tensor: torch.Tensor) -> torch.Tensor:
    """Contiguous reals; a complex tensor interleaves (real, imaginary) in a last axis."""
    return torch.view_as_real(tensor.contiguous()) if tensor.is_complex() else tensor.contiguous()


@triton.jit
def _power(rate, h, n, step, N, COMPLEX: tl.constexpr):  # type: ignore[no-untyped-def]
    """Real and imaginary part of exp(rate step) [BLOCK_N, BLOCK_L]; the phase is reduced in float64."""
    parts: tl.constexpr = 2 if COMPLEX else 1
    at = rate + (h * N + n) * parts
    real = tl.load(at, mask=n < N, other=0.0)
    size = tl.exp(real[:, None] * step[None, :].to(real.dtype))
    if COMPLEX:
        turns = tl.load(at + 1, mask=n < N, other=0.0).to(tl.float64)[:, None] * step[None, :].to(tl.float64) / TURN
        phase = ((turns - tl.floor(turns)) * TURN).to(real.dtype)
        return size * tl.cos(phase), size * tl.sin(phase)
    else:
        return size, size


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    weight, rate, out, N, L, COMPLEX: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_L: tl.constexpr
):
    h = tl.program_id(0).to(tl.int64)
    step = tl.program_id(1) * BLOCK_L + tl.arange(0, BLOCK_L)
    parts: tl.constexpr = 2 if COMPLEX else 1
    total = tl.zeros((BLOCK_L,), dtype=out.dtype.element_ty)
    begin = 0
    while begin < N:
        n = begin + tl.arange(0, BLOCK_N)
        real, imaginary = _power(rate, h, n, step, N, COMPLEX)
        w = tl.load(weight + (h * N + n) * parts, mask=n < N, other=0.0)
        term = w[:, None] * real
        if COMPLEX:
            w_i = tl.load(weight + (h * N + n) * parts + 1, mask=n < N, other=0.0)
            term -= w_i[:, None] * imaginary
        total += tl.sum(term, 0)
        begin += BLOCK_N
    tl.store(out + h * L + step, total, mask=step < L)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    rate, grad, plain, timed, N, L, COMPLEX: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_L: tl.constexpr
):
    """Sums over l: plain = g_l exp(rate l), timed = g_l l exp(rate l)."""
    h = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    parts: tl.constexpr = 2 if COMPLEX else 1
    zero = tl.zeros((BLOCK_N,), dtype=grad.dtype.element_ty)
    sum_r, sum_i, timed_r, timed_i = zero, zero, zero, zero
    begin = 0
    while begin < L:
        step = begin + tl.arange(0, BLOCK_L)
        # beyond the end a growing exponential could overflow, and infinity times zero is no zero
        real, imaginary = _power(rate, h, n, tl.where(step < L, step, 0), N, COMPLEX)
        g = tl.load(grad + h * L + step, mask=step < L, other=0.0)
        g_timed = g * step.to(g.dtype)
        sum_r += tl.sum(real * g[None, :], 1)
        timed_r += tl.sum(real * g_timed[None, :], 1)
        if COMPLEX:
            sum_i += tl.sum(imaginary * g[None, :], 1)
            timed_i += tl.sum(imaginary * g_timed[None, :], 1)
        begin += BLOCK_L
    at = (h * N + n) * parts
    tl.store(plain + at, sum_r, mask=n < N)
    tl.store(timed + at, timed_r, mask=n < N)
    if COMPLEX:
        tl.store(plain + at + 1, sum_i, mask=n < N)
        tl.store(timed + at + 1, timed_i, mask=n < N)


AHEAD = tuple(
    Ahead(
        kernel,
        {**dict.fromkeys(names, "*fp32"), "N": "i32", "L": "i32"},
        {"COMPLEX": is_complex, "BLOCK_N": BLOCK_N, "BLOCK_L": BLOCK_L},
    )
    for kernel, names in ((_forward, ("weight", "rate", "out")), (_backward, ("rate", "grad", "plain", "timed")))
    for is_complex in (False, True)
)
