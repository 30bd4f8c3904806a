"""How is the transducer's loss fast on a CPU? One operation for each anti-diagonal of the lattice."""

from __future__ import annotations

import torch

from harness.kernels.transducer._lattice import loss

# B batch, T frames, U label positions, N anti-diagonals (N = T + U - 1)


def transducer(
    logits_BTUV: torch.Tensor,
    targets_BL: torch.Tensor,
    frames: tuple[int, ...] | None = None,
    labels: tuple[int, ...] | None = None,
    blank: int = 0,
) -> torch.Tensor:
    """As the reference: cells with the same t + u depend only on those before, so that they advance together."""
    return loss(logits_BTUV, targets_BL, frames, labels, blank, _solve)


def _solve(stay: torch.Tensor, emit: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    batch, length, places = stay.shape
    stays, emits, lasts = (_skew(moves) for moves in (stay, emit, last))
    count = len(stays)
    reached = stay.new_full((count, batch, places), -torch.inf)
    reached[0, :, 0] = 0.0
    for n in range(1, count):
        torch.add(reached[n - 1], stays[n - 1], out=reached[n])
        from_left = reached[n - 1, :, :-1] + emits[n - 1, :, :-1]
        torch.logaddexp(reached[n, :, 1:], from_left, out=reached[n, :, 1:])
    remaining = stay.new_full((count + 1, batch, places + 1), -torch.inf)
    for n in range(count - 1, -1, -1):
        ways = torch.logaddexp(remaining[n + 1, :, :-1] + stays[n], remaining[n + 1, :, 1:] + emits[n])
        # only the last cell has the final blank, and no other way
        torch.maximum(ways, lasts[n], out=remaining[n, :, :-1])
    full = stay.new_full((batch, length + 1, places + 1), -torch.inf)
    full[:, :length, :places] = _straighten(remaining[:-1, :, :-1], length)
    return _straighten(reached, length), full


def _skew(cells: torch.Tensor) -> torch.Tensor:
    """Anti-diagonals [N, B, U] of cells [B, T, U]; minus infinity where one leaves the lattice."""
    batch, length, places = cells.shape
    count = length + places - 1
    wide = torch.nn.functional.pad(cells.transpose(1, 2), (0, places), value=-torch.inf)
    # rows one shorter than those written move each label position one diagonal further
    return wide.flatten(1)[:, : places * count].view(batch, places, count).permute(2, 0, 1).contiguous()


def _straighten(diagonals: torch.Tensor, length: int) -> torch.Tensor:
    """The inverse of `_skew`."""
    count, batch, places = diagonals.shape
    flat = torch.nn.functional.pad(diagonals.permute(1, 2, 0).reshape(batch, -1), (0, places))
    return flat.view(batch, places, count + 1)[:, :, :length].transpose(1, 2)
