"""How is a long convolution done by Fourier transforms? The same on every device but for the product in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from harness.kernels._dispatch import accumulator

# B batch, H channels, T time, K taps, P steps of the past, F frequencies
Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Adjoint = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def convolve(
    x_BHT: torch.Tensor,
    filter_HK: torch.Tensor,
    skip_H: torch.Tensor | None,
    past_BHP: torch.Tensor | None,
    product: Product,
    adjoint: Adjoint,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The operation, given product(x, k) over frequencies and adjoint(x, k, gradient) -> their two gradients."""
    carried, length, taps = accumulator(x_BHT.dtype), x_BHT.shape[2], filter_HK.shape[1]
    past = x_BHT.new_zeros(*x_BHT.shape[:2], taps - 1) if past_BHP is None else past_BHP.to(x_BHT.dtype)
    all_BHT = torch.cat((past, x_BHT), 2)
    # zeros before the sequence need no transform
    seen_BHT = x_BHT if past_BHP is None else all_BHT
    if x_BHT.numel():
        y_BHT = _Convolve.apply(
            seen_BHT.to(carried), filter_HK[:, : seen_BHT.shape[2]].to(carried), length, product, adjoint
        )
        if skip_H is not None:
            y_BHT = y_BHT + skip_H.to(carried).unsqueeze(1) * x_BHT.to(carried)
        y_BHT = y_BHT.to(x_BHT.dtype)
    else:
        y_BHT = x_BHT * 1
    return y_BHT, all_BHT[:, :, length:]


class _Convolve(torch.autograd.Function):
    """The last `length` steps of a causal convolution; three transforms forward, three backward."""

    @staticmethod
    def forward(
        ctx: Any, x_BHT: torch.Tensor, filter_HK: torch.Tensor, length: int, product: Product, adjoint: Adjoint
    ) -> torch.Tensor:
        steps, taps = x_BHT.shape[2], filter_HK.shape[1]
        # what a circular transform wraps around lands on the first taps - 1 steps, which may be past and unread
        size = fast_size(steps + max(0, taps - 1 - (steps - length)))
        x_BHF, filter_HF = torch.fft.rfft(x_BHT, size), torch.fft.rfft(filter_HK, size)
        ctx.save_for_backward(x_BHF, filter_HF)
        ctx.steps, ctx.taps, ctx.length, ctx.size, ctx.adjoint = steps, taps, length, size, adjoint
        y_BHT = torch.fft.irfft(product(x_BHF, filter_HF), size)
        return y_BHT[:, :, steps - length : steps].contiguous()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_BHT: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x_BHF, filter_HF = ctx.saved_tensors
        padded = grad_BHT.new_zeros(*grad_BHT.shape[:2], ctx.size)
        padded[:, :, ctx.steps - ctx.length : ctx.steps] = grad_BHT
        grad_x_BHF, grad_filter_HF = ctx.adjoint(x_BHF, filter_HF, torch.fft.rfft(padded))
        grad_x = torch.fft.irfft(grad_x_BHF, ctx.size)[:, :, : ctx.steps].contiguous()
        grad_filter = torch.fft.irfft(grad_filter_HF, ctx.size)[:, : ctx.taps].contiguous()
        return grad_x, grad_filter, None, None, None


def fast_size(steps: int) -> int:
    """The smallest even number from `steps` on with no prime factor above 5, which transforms like best."""
    best = 1 << max(1, (steps - 1).bit_length())
    five = 1
    while five < best:
        three = five
        while three < best:
            # the power of two, at least 2, that lifts this odd number to `steps`
            candidate = three << max(1, (-(-steps // three) - 1).bit_length())
            best = min(best, candidate)
            three *= 3
        five *= 5
    return best
