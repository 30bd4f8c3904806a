"""What of the transducer's loss is the same on every device? The log-probabilities of its lattice, and the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from harness.kernels._dispatch import accumulator

# B batch, T frames, U label positions, V vocabulary, L labels (L = U - 1)
# solve(stay, emit, last): stay and emit [B, T, U] are the log-probabilities of a blank and of the next label, minus
# infinity off the lattice; last [B, T, U] is the final blank's, minus infinity elsewhere. It gives the log-probability
# of reaching each cell from the start, and of reaching the end from each cell (with T + 1 and U + 1 edges).
Solve = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def loss(
    logits_BTUV: torch.Tensor,
    targets_BL: torch.Tensor,
    frames: tuple[int, ...] | None,
    labels: tuple[int, ...] | None,
    blank: int,
    solve: Solve,
) -> torch.Tensor:
    """The operation, given a way to sum over the lattice."""
    batch, length, places, _ = logits_BTUV.shape
    logits = logits_BTUV.to(accumulator(logits_BTUV.dtype))
    if not length:
        return logits.sum((1, 2, 3)) + torch.inf
    device = logits.device
    frames_B = torch.tensor(frames or (length,) * batch, device=device)
    labels_B = torch.tensor(labels or (places - 1,) * batch, device=device)
    answer: torch.Tensor = _Loss.apply(logits, targets_BL.long(), frames_B, labels_B, blank, solve)
    return answer


class _Loss(torch.autograd.Function):
    """-log p, whose gradient for a move is the share of all alignments that make it."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: torch.Tensor,
        targets: torch.Tensor,
        frames: torch.Tensor,
        labels: torch.Tensor,
        blank: int,
        solve: Solve,
    ) -> torch.Tensor:
        _, length, places, _ = logits.shape
        norm = torch.logsumexp(logits, 3)
        t = torch.arange(length, device=logits.device)[None, :, None]
        u = torch.arange(places, device=logits.device)[None, None, :]
        end_t, end_u = frames[:, None, None] - 1, labels[:, None, None]
        # sums over the lattice are large beside the differences that the gradient needs: float64, of B T U numbers
        moves = (logits[..., blank] - norm).double()
        last = moves.masked_fill((t != end_t) | (u != end_u), -torch.inf)
        stay = moves.masked_fill((t >= end_t) | (u > end_u), -torch.inf)
        # the last position has no next label; any index serves, since its move is taken away
        index = torch.nn.functional.pad(targets, (0, 1))[:, None, :, None].expand(-1, length, -1, 1)
        emit = (logits.gather(3, index)[..., 0] - norm).double().masked_fill((t > end_t) | (u >= end_u), -torch.inf)
        reached, remaining = solve(stay, emit, last)
        total = remaining[:, 0, 0]
        ctx.save_for_backward(logits, norm, index, stay, emit, last, reached, remaining)
        ctx.blank = blank
        return -total.to(logits.dtype)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        logits, norm, index, stay, emit, last, reached, remaining = ctx.saved_tensors
        total, scale = remaining[:, :1, :1], grad[:, None, None]
        stays = torch.exp(reached + stay + remaining[:, 1:, :-1] - total) + torch.exp(reached + last - total)
        emits = torch.exp(reached + emit + remaining[:, :-1, 1:] - total)
        stays, emits = (stays * scale).to(logits.dtype), (emits * scale).to(logits.dtype)
        back = torch.exp(logits - norm.unsqueeze(3)).mul_((stays + emits).unsqueeze(3))
        back[..., ctx.blank] -= stays
        back.scatter_add_(3, index, -emits.unsqueeze(3))
        return back, None, None, None, None, None
