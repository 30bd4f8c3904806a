"""Causal convolution against the definition as shifted sums under autograd."""

from __future__ import annotations

import torch

from harness.kernels._dispatch import operation
from kernel_rows._row import Row, Work

causal_conv = operation("causal_conv")


def shifted_sums(x: torch.Tensor, weight: torch.Tensor, dilation: int) -> torch.Tensor:
    answer = weight[:, :1] * x
    for tap in range(1, weight.shape[1]):
        shift = tap * dilation
        answer = answer + weight[:, tap : tap + 1] * torch.nn.functional.pad(x, (shift, 0))[..., : x.shape[2]]
    return answer


def depthwise(taps: int, dilation: int) -> tuple[Work, Work]:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(4, 64, 8192, generator=rng).requires_grad_()
    weight = (torch.randn(64, taps, generator=rng) / taps**0.5).requires_grad_()
    seed = torch.ones_like(x)
    return (
        lambda: torch.autograd.grad(causal_conv(x, weight, dilation=dilation)[0], (x, weight), seed),
        lambda: torch.autograd.grad(shifted_sums(x, weight, dilation), (x, weight), seed),
    )


ROWS = (
    Row("fwd+bwd B4 C64 T8192, 4 taps, vs shifted sums", lambda: depthwise(4, 1)),
    Row("fwd+bwd B4 C64 T8192, 17 taps, dilation 5, vs shifted sums", lambda: depthwise(17, 5)),
)
