"""How a linear scan runs on a GPU: one program for a row and a block of channels, tiles of time with a carry.

A tile [T', N'] is scanned with `tl.associative_scan` over pairs (gate, h), the carry is folded in, and its last row is
the next carry. The backward pass is one fused kernel that walks time in reverse. Complex numbers travel as two reals.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from harness.kernels._ahead_of_time import Ahead
from harness.kernels._dispatch import accumulator
from harness.kernels._tuning import tuned

# B batch, T time, N channels; strides are given for each axis, so that views and broadcasts are read in place
# the first alone runs under the interpreter, where an associative scan costs a Python step an element
TILES = tuple(
    {"BLOCK_T": time, "BLOCK_N": channels}
    for time, channels in ((16, 8), (32, 32), (64, 32), (64, 64), (128, 32), (256, 16))
)


def linear_scan(
    gate_BTN: torch.Tensor, x_BTN: torch.Tensor, start_BN: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The linear scan of `reference.py` as one Triton kernel each way (once differentiable)."""
    carried = accumulator(x_BTN.dtype)
    start = x_BTN.new_zeros(x_BTN.shape[::2], dtype=carried) if start_BN is None else start_BN.to(carried)
    h_BTN, last_BN = _Scan.apply(gate_BTN.resolve_conj(), x_BTN.resolve_conj(), start.resolve_conj())
    return h_BTN, last_BN


class _Scan(torch.autograd.Function):
    """Forward tiles in time, backward tiles in reverse time; the states h are kept, nothing else."""

    @staticmethod
    def forward(
        ctx: Any, gate_BTN: torch.Tensor, x_BTN: torch.Tensor, start_BN: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        batch, length, channels = x_BTN.shape
        h_BTN, last_BN = x_BTN.new_empty(x_BTN.shape), start_BN.clone(memory_format=torch.contiguous_format)
        if x_BTN.numel():
            _forward[_grid(batch, channels)](
                *_real(gate_BTN), *_real(x_BTN), *_real(h_BTN),
                _real(start_BN.contiguous())[0], _real(last_BN)[0],
                length, channels, COMPLEX=x_BTN.is_complex(),
            )  # fmt: skip
        ctx.save_for_backward(gate_BTN, h_BTN, start_BN)
        return h_BTN, last_BN

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(
        ctx: Any, grad_BTN: torch.Tensor, grad_last_BN: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        gate_BTN, h_BTN, start_BN = ctx.saved_tensors
        batch, length, channels = h_BTN.shape
        grad_gate_BTN, grad_x_BTN = h_BTN.new_empty(h_BTN.shape), h_BTN.new_empty(h_BTN.shape)
        grad_last_BN = grad_last_BN.resolve_conj().contiguous()
        grad_start_BN = grad_last_BN.clone()
        if h_BTN.numel():
            _backward[_grid(batch, channels)](
                *_real(gate_BTN), *_real(h_BTN), *_real(grad_BTN.resolve_conj()),
                *_real(grad_gate_BTN), *_real(grad_x_BTN),
                _real(start_BN.contiguous())[0], _real(grad_last_BN)[0], _real(grad_start_BN)[0],
                length, channels, COMPLEX=h_BTN.is_complex(),
            )  # fmt: skip
        return grad_gate_BTN, grad_x_BTN, grad_start_BN


def _grid(batch: int, channels: int) -> Any:
    return lambda meta: (batch, triton.cdiv(channels, meta["BLOCK_N"]))


def _real(tensor: torch.Tensor) -> tuple[Any, ...]:
    """The tensor as reals and its strides; a complex one interleaves (real, imaginary) in its last axis."""
    view = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return view, *view.stride()[: tensor.ndim]


@triton.jit
def _after(gate_a, h_a, gate_b, h_b):  # type: ignore[no-untyped-def]
    return gate_a * gate_b, gate_b * h_a + h_b


@triton.jit
def _after_complex(gr_a, gi_a, hr_a, hi_a, gr_b, gi_b, hr_b, hi_b):  # type: ignore[no-untyped-def]
    return (
        gr_a * gr_b - gi_a * gi_b,
        gr_a * gi_b + gi_a * gr_b,
        gr_b * hr_a - gi_b * hi_a + hr_b,
        gr_b * hi_a + gi_b * hr_a + hi_b,
    )


@tuned(TILES, ["T", "N"], [2, 4, 8])
@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    gate, gate_b, gate_t, gate_n, x, x_b, x_t, x_n, h, h_b, h_t, h_n, start, last,
    T, N, COMPLEX: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """All states h [B, T, N] and `last` [B, N] from `start` [B, N]."""
    b = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = tl.arange(0, BLOCK_T)[:, None]
    bottom = row == BLOCK_T - 1
    parts: tl.constexpr = 2 if COMPLEX else 1
    at_state = (b * N + n) * parts
    carry = tl.load(start + at_state, mask=n < N, other=0.0)
    carry_i = carry
    if COMPLEX:
        carry_i = tl.load(start + at_state + 1, mask=n < N, other=0.0)
    for begin in range(0, T, BLOCK_T):
        t = (begin + row).to(tl.int64)
        inside = (t < T) & (n < N)[None, :]
        at_gate = gate + b * gate_b + t * gate_t + n[None, :] * gate_n
        at_x = x + b * x_b + t * x_t + n[None, :] * x_n
        at_h = h + b * h_b + t * h_t + n[None, :] * h_n
        # a step past the end keeps the state, so that the bottom row is the last state even of a short tile
        a = tl.load(at_gate, mask=inside, other=1.0).to(carry.dtype)
        u = tl.load(at_x, mask=inside, other=0.0).to(carry.dtype)
        if COMPLEX:
            a_i = tl.load(at_gate + 1, mask=inside, other=0.0).to(carry.dtype)
            u_i = tl.load(at_x + 1, mask=inside, other=0.0).to(carry.dtype)
            a, a_i, u, u_i = tl.associative_scan((a, a_i, u, u_i), 0, _after_complex)
            u, u_i = u + a * carry[None, :] - a_i * carry_i[None, :], u_i + a * carry_i[None, :] + a_i * carry[None, :]
            tl.store(at_h + 1, u_i.to(h.dtype.element_ty), mask=inside)
            carry_i = tl.sum(tl.where(bottom, u_i, 0.0), 0)
        else:
            a, u = tl.associative_scan((a, u), 0, _after)
            u = u + a * carry[None, :]
        tl.store(at_h, u.to(h.dtype.element_ty), mask=inside)
        carry = tl.sum(tl.where(bottom, u, 0.0), 0)
    tl.store(last + at_state, carry, mask=n < N)
    if COMPLEX:
        tl.store(last + at_state + 1, carry_i, mask=n < N)


@tuned(TILES, ["T", "N"], [2, 4, 8])
@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    gate, gate_b, gate_t, gate_n, h, h_b, h_t, h_n, grad, grad_b, grad_t, grad_n,
    grad_gate, grad_gate_b, grad_gate_t, grad_gate_n, grad_x, grad_x_b, grad_x_t, grad_x_n,
    start, grad_last, grad_start,
    T, N, COMPLEX: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """The adjoint d_t = g_t + conj(a_{t+1}) d_{t+1}, and with it grad x = d, grad gate = d_t conj(h_{t-1})."""
    b = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = tl.arange(0, BLOCK_T)[:, None]
    bottom = row == BLOCK_T - 1
    parts: tl.constexpr = 2 if COMPLEX else 1
    at_state = (b * N + n) * parts
    carry = tl.load(grad_last + at_state, mask=n < N, other=0.0)
    first = tl.load(start + at_state, mask=n < N, other=0.0)
    carry_i, first_i = carry, first
    if COMPLEX:
        carry_i = tl.load(grad_last + at_state + 1, mask=n < N, other=0.0)
        first_i = tl.load(start + at_state + 1, mask=n < N, other=0.0)
    for begin in range(0, T, BLOCK_T):
        t = (T - 1 - begin - row).to(tl.int64)
        inside = (t >= 0) & (n < N)[None, :]
        # the last step's adjoint takes the carried gradient with gate one
        followed = inside & (t + 1 < T)
        preceded = inside & (t > 0)
        at_next = gate + b * gate_b + (t + 1) * gate_t + n[None, :] * gate_n
        at_before = h + b * h_b + (t - 1) * h_t + n[None, :] * h_n
        at_grad = grad + b * grad_b + t * grad_t + n[None, :] * grad_n
        at_grad_gate = grad_gate + b * grad_gate_b + t * grad_gate_t + n[None, :] * grad_gate_n
        at_grad_x = grad_x + b * grad_x_b + t * grad_x_t + n[None, :] * grad_x_n
        a = tl.load(at_next, mask=followed, other=1.0).to(carry.dtype)
        d = tl.load(at_grad, mask=inside, other=0.0).to(carry.dtype)
        before = tl.load(at_before, mask=preceded, other=0.0).to(carry.dtype)
        before = tl.where(t > 0, before, first[None, :])
        if COMPLEX:
            a_i = -tl.load(at_next + 1, mask=followed, other=0.0).to(carry.dtype)
            d_i = tl.load(at_grad + 1, mask=inside, other=0.0).to(carry.dtype)
            before_i = tl.load(at_before + 1, mask=preceded, other=0.0).to(carry.dtype)
            before_i = tl.where(t > 0, before_i, first_i[None, :])
            a, a_i, d, d_i = tl.associative_scan((a, a_i, d, d_i), 0, _after_complex)
            d, d_i = d + a * carry[None, :] - a_i * carry_i[None, :], d_i + a * carry_i[None, :] + a_i * carry[None, :]
            tl.store(at_grad_x + 1, d_i.to(grad_x.dtype.element_ty), mask=inside)
            tl.store(at_grad_gate, (d * before + d_i * before_i).to(grad_gate.dtype.element_ty), mask=inside)
            tl.store(at_grad_gate + 1, (d_i * before - d * before_i).to(grad_gate.dtype.element_ty), mask=inside)
            carry_i = tl.sum(tl.where(bottom, d_i, 0.0), 0)
        else:
            a, d = tl.associative_scan((a, d), 0, _after)
            d = d + a * carry[None, :]
            tl.store(at_grad_gate, (d * before).to(grad_gate.dtype.element_ty), mask=inside)
        tl.store(at_grad_x, d.to(grad_x.dtype.element_ty), mask=inside)
        carry = tl.sum(tl.where(bottom, d, 0.0), 0)
    a = tl.load(gate + b * gate_b + n * gate_n, mask=n < N, other=0.0).to(carry.dtype)
    if COMPLEX:
        a_i = -tl.load(gate + b * gate_b + n * gate_n + 1, mask=n < N, other=0.0).to(carry.dtype)
        tl.store(grad_start + at_state, a * carry - a_i * carry_i, mask=n < N)
        tl.store(grad_start + at_state + 1, a * carry_i + a_i * carry, mask=n < N)
    else:
        tl.store(grad_start + at_state, a * carry, mask=n < N)


def _types(kind: str, arrays: str, states: str) -> dict[str, str]:
    types: dict[str, str] = {}
    for name in arrays.split():
        types |= {name: f"*{kind}"} | {f"{name}_{axis}": "i32" for axis in "btn"}
    return types | dict.fromkeys(states.split(), "*fp32") | {"T": "i32", "N": "i32"}


AHEAD = tuple(
    Ahead(kernel.fn, _types(kind, arrays, states), {"COMPLEX": is_complex, "BLOCK_T": 64, "BLOCK_N": 64})
    for kernel, arrays, states in (
        (_forward, "gate x h", "start last"),
        (_backward, "gate h grad grad_gate grad_x", "start grad_last grad_start"),
    )
    for kind, is_complex in (("bf16", False), ("fp32", True))
)
