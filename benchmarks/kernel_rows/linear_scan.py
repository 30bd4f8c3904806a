"""The linear scan against a doubling scan under autograd, against itself at four times the length, and on a GPU."""

from __future__ import annotations

import torch

from harness.kernels._dispatch import operation
from kernel_rows._row import Row, Work

linear_scan = operation("linear_scan")


def doubling_scan(gate: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Hillis and Steele: log2 T rounds over the whole sequence, differentiated by autograd."""
    step = 1
    while step < x.shape[1]:
        x = torch.cat((x[:, :step], x[:, step:] + gate[:, step:] * x[:, :-step]), 1)
        gate = torch.cat((gate[:, :step], gate[:, step:] * gate[:, :-step]), 1)
        step *= 2
    return x


def arguments(
    batch: int, length: int, channels: int, device: str = "cpu", gradient: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    gate = torch.sigmoid(torch.randn(batch, length, channels, generator=rng) + 2.0).to(device)
    x = torch.randn(batch, length, channels, generator=rng).to(device)
    return gate.requires_grad_(gradient), x.requires_grad_(gradient)


def both_ways(length: int) -> tuple[Work, Work]:
    gate, x = arguments(8, length, 64)
    seed = torch.ones_like(x)
    return (
        lambda: torch.autograd.grad(linear_scan(gate, x)[0], (gate, x), seed),
        lambda: torch.autograd.grad(doubling_scan(gate, x), (gate, x), seed),
    )


def growth() -> tuple[Work, Work]:
    return both_ways(4096)[0], both_ways(16384)[0]


def copy_bandwidth() -> tuple[Work, Work]:
    # (batch, time, channels) = (8, 16384, 1536): three arrays move, so the copy moves one and a half
    gate, x = arguments(8, 16384, 1536, "cuda", gradient=False)
    half = gate[:4]
    return lambda: linear_scan(gate, x), lambda: (gate.clone(), half.clone())


def accelerated_scan() -> tuple[Work, Work]:
    from accelerated_scan.warp import scan

    gate, x = arguments(8, 16384, 1536, "cuda", gradient=False)
    gate_BNT, x_BNT = gate.transpose(1, 2).contiguous(), x.transpose(1, 2).contiguous()
    return lambda: linear_scan(gate, x), lambda: scan(gate_BNT, x_BNT)


ROWS = (
    Row("fwd+bwd B8 T4096 N64 vs doubling scan under autograd", lambda: both_ways(4096), at_least=3.0),
    Row("fwd+bwd B8 N64: T16384 over T4096 (4 when linear)", growth, at_most=5.0),
    Row("H100 fwd (8, 1536, 16384) fp32 vs copying 3 arrays", copy_bandwidth, at_least=0.6, device="cuda"),
    Row(
        "H100 fwd (8, 1536, 16384) fp32 vs accelerated-scan warp",
        accelerated_scan,
        at_least=1.0,
        device="cuda",
        needs="accelerated_scan",
    ),
)
