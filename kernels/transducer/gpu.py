"""How is the transducer's loss done on a GPU? A program for each sequence: frames in turn, labels by a parallel scan.

Within a frame, reaching u is log(stay_u + emit_{u-1} reaching_{u-1}): a linear recurrence over u in the log semiring,
which `tl.associative_scan` runs in parallel. Log-probabilities and the gradient of the logits are torch's.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from harness.api.errors import UsageError
from harness.kernels._ahead_of_time import Ahead
from harness.kernels.transducer._lattice import loss

# B batch, T frames, U label positions
MOST = 4096  # label positions that one program scans


def transducer(
    logits_BTUV: torch.Tensor,
    targets_BL: torch.Tensor,
    frames: tuple[int, ...] | None = None,
    labels: tuple[int, ...] | None = None,
    blank: int = 0,
) -> torch.Tensor:
    """As the reference, for up to 4095 labels. Raises UsageError for more."""
    if logits_BTUV.shape[2] > MOST:
        raise UsageError(
            f"transducer: {logits_BTUV.shape[2] - 1} labels; the gpu path scans {MOST - 1}. Pass path='reference', or "
            "move the tensors to the cpu."
        )
    return loss(logits_BTUV, targets_BL, frames, labels, blank, _solve)


def _solve(stay: torch.Tensor, emit: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    batch, length, places = stay.shape
    stay, emit, last = (moves.contiguous() for moves in (stay, emit, last))
    reached = torch.empty_like(stay)
    remaining = stay.new_full((batch, length + 1, places + 1), -torch.inf)
    block = triton.next_power_of_2(places)
    _reach[(batch,)](stay, emit, reached, length, places, BLOCK=block)
    _remain[(batch,)](stay, emit, last, remaining, length, places, BLOCK=block)
    return reached, remaining


@triton.jit
def _log_add(a, b):  # type: ignore[no-untyped-def]
    high = tl.maximum(a, b)
    # two impossible ways stay impossible, instead of infinity minus infinity
    safe = tl.where(high == float("-inf"), 0.0, high)
    ways = tl.exp(a - safe) + tl.exp(b - safe)
    return high + tl.log(tl.where(high == float("-inf"), 1.0, ways))


@triton.jit
def _after(move_a, value_a, move_b, value_b):  # type: ignore[no-untyped-def]
    return move_a + move_b, _log_add(value_b, value_a + move_b)


@triton.jit
def _reach(stay, emit, reached, T, U, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    b = tl.program_id(0).to(tl.int64)
    u = tl.arange(0, BLOCK)
    at = b * T * U + u
    off = float("-inf")
    # before the first frame only label position 0 is reached
    value = tl.where(u == 0, 0.0, off).to(reached.dtype.element_ty)
    t = 0
    while t < T:
        move = tl.load(emit + at - 1, mask=(u > 0) & (u < U), other=off)
        move, value = tl.associative_scan((move, value), 0, _after)
        tl.store(reached + at, value, mask=u < U)
        value += tl.load(stay + at, mask=u < U, other=off)
        at += U
        t += 1


@triton.jit
def _remain(stay, emit, last, remaining, T, U, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """`remaining` [B, T + 1, U + 1] keeps its minus infinities beyond the last frame and label."""
    b = tl.program_id(0).to(tl.int64)
    u = tl.arange(0, BLOCK)
    off = float("-inf")
    at = (b * T + T - 1) * U + u
    to = (b * (T + 1) + T - 1) * (U + 1) + u
    value = tl.full((BLOCK,), off, remaining.dtype.element_ty)
    t = 0
    while t < T:
        inside = u < U
        value = tl.maximum(
            value + tl.load(stay + at, mask=inside, other=off), tl.load(last + at, mask=inside, other=off)
        )
        move = tl.load(emit + at, mask=inside, other=off)
        move, value = tl.associative_scan((move, value), 0, _after, reverse=True)
        tl.store(remaining + to, value, mask=inside)
        at -= U
        to -= U + 1
        t += 1


AHEAD = (
    Ahead(_reach, {**dict.fromkeys(("stay", "emit", "reached"), "*fp64"), "T": "i32", "U": "i32"}, {"BLOCK": 256}),
    Ahead(
        _remain,
        {**dict.fromkeys(("stay", "emit", "last", "remaining"), "*fp64"), "T": "i32", "U": "i32"},
        {"BLOCK": 256},
    ),
)
