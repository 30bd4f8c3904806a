"""How a linear scan is fast on a CPU: every chunk of time advances at once, and the backward pass is written by hand.

Cut T into chunks of C steps. Step i of all chunks is one elementwise operation, so C operations give every chunk's
answer as if it began at zero, and its running product of gates. T/C short operations carry the state from chunk to
chunk, and one long operation adds it: no logarithms that overflow. Time is walked in segments that fit the cache.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from harness.kernels._dispatch import accumulator
from harness.kernels._workspace import workspace

# B batch, T time, N channels, S chunks, C steps of a chunk
LONGEST_CHUNK = 64  # steps; a product of 64 gates below 3.9 cannot overflow float32
SEGMENT = 1 << 20  # numbers of one array (4 MiB in float32)


def linear_scan(
    gate_BTN: torch.Tensor, x_BTN: torch.Tensor, start_BN: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The linear scan of `reference.py` in O(T) work with a hand-written backward pass (once differentiable)."""
    carried = accumulator(x_BTN.dtype)
    start = x_BTN.new_zeros(x_BTN.shape[::2], dtype=carried) if start_BN is None else start_BN.to(carried)
    h_BTN = _Scan.apply(gate_BTN.to(carried), x_BTN.to(carried), start)
    last_BN = h_BTN[:, -1] if x_BTN.shape[1] else start
    return h_BTN.to(x_BTN.dtype), last_BN


class _Scan(torch.autograd.Function):
    """h_t = a_t h_{t-1} + x_t with the adjoint recurrence of u_t = a_t* (g_t + u_{t+1}), a segment at a time."""

    @staticmethod
    def forward(ctx: Any, gate_BTN: torch.Tensor, x_BTN: torch.Tensor, start_BN: torch.Tensor) -> torch.Tensor:
        h_BTN, carry_BN = workspace(x_BTN.shape, x_BTN.dtype), start_BN
        for part in _segments(x_BTN):
            carry_BN = _scan(gate_BTN[:, part], x_BTN[:, part], carry_BN, h_BTN[:, part], reverse=False)
        ctx.save_for_backward(gate_BTN, h_BTN, start_BN)
        return h_BTN

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_BTN: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        gate_BTN, h_BTN, start_BN = ctx.saved_tensors
        grad_gate_BTN, grad_x_BTN = (workspace(h_BTN.shape, h_BTN.dtype) for _ in range(2))
        carry_BN = torch.zeros_like(start_BN)
        for part in reversed(_segments(h_BTN)):
            conjugate, grad, grad_x = gate_BTN[:, part].conj(), grad_BTN[:, part], grad_x_BTN[:, part]
            u_BTN = conjugate.new_empty(grad.shape)
            first_BN = _scan(conjugate, conjugate * grad, carry_BN, u_BTN, reverse=True)
            torch.add(grad[:, :-1], u_BTN[:, 1:], out=grad_x[:, :-1])
            torch.add(grad[:, -1], carry_BN, out=grad_x[:, -1])
            before_BN = h_BTN[:, part.start - 1] if part.start else start_BN
            torch.mul(grad_x[:, 1:], h_BTN[:, part][:, :-1].conj(), out=grad_gate_BTN[:, part][:, 1:])
            torch.mul(grad_x[:, 0], before_BN.conj(), out=grad_gate_BTN[:, part.start])
            carry_BN = first_BN
        return grad_gate_BTN, grad_x_BTN, carry_BN


def _segments(x_BTN: torch.Tensor) -> list[slice]:
    """Slices of time, in order, whose temporaries stay in the cache."""
    batch, length, channels = x_BTN.shape
    steps = max(LONGEST_CHUNK, SEGMENT // max(1, batch * channels))
    return [slice(begin, min(begin + steps, length)) for begin in range(0, length, steps)]


def _scan(
    gate_BTN: torch.Tensor, x_BTN: torch.Tensor, start_BN: torch.Tensor, h_BTN: torch.Tensor, *, reverse: bool
) -> torch.Tensor:
    """Fill h and return its last step in the direction of travel."""
    length = x_BTN.shape[1]
    chunk = max(1, min(LONGEST_CHUNK, math.isqrt(length)))
    whole = length - length % chunk
    # the steps that fill no chunk come last in the direction of travel
    first = length - whole if reverse else 0
    part = slice(first, first + whole)
    gate_BSCN, x_BSCN, h_BSCN = (tensor[:, part].unflatten(1, (-1, chunk)) for tensor in (gate_BTN, x_BTN, h_BTN))
    last_BN = _chunks(gate_BSCN, x_BSCN, h_BSCN, start_BN, reverse=reverse)
    for t in range(first - 1, -1, -1) if reverse else range(whole, length):
        last_BN = torch.addcmul(x_BTN[:, t], gate_BTN[:, t], last_BN, out=h_BTN[:, t])
    return last_BN


def _chunks(
    gate_BSCN: torch.Tensor, x_BSCN: torch.Tensor, h_BSCN: torch.Tensor, start_BN: torch.Tensor, *, reverse: bool
) -> torch.Tensor:
    """Fill h and return its last step in the direction of travel."""
    order = range(gate_BSCN.shape[2] - 1, -1, -1) if reverse else range(gate_BSCN.shape[2])
    gates, inputs, states = gate_BSCN.unbind(2), x_BSCN.unbind(2), h_BSCN.unbind(2)
    product_BSCN = torch.empty_like(h_BSCN)
    products = product_BSCN.unbind(2)
    before = order[0]
    products[before].copy_(gates[before])
    states[before].copy_(inputs[before])
    for i in order[1:]:
        torch.mul(gates[i], products[before], out=products[i])
        torch.addcmul(inputs[i], gates[i], states[before], out=states[i])
        before = i
    carry_BSN = torch.empty_like(h_BSCN[:, :, 0])
    carry_BN = start_BN
    for s in range(carry_BSN.shape[1] - 1, -1, -1) if reverse else range(carry_BSN.shape[1]):
        carry_BSN[:, s] = carry_BN
        carry_BN = torch.addcmul(states[before][:, s], products[before][:, s], carry_BN)
    h_BSCN.addcmul_(product_BSCN, carry_BSN.unsqueeze(2))
    return carry_BN
