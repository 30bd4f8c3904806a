"""How is a long convolution fast on a CPU? Six real Fourier transforms and products over frequencies."""

from __future__ import annotations

import torch

from harness.kernels.long_conv._fourier import convolve


def long_conv(
    x_BHT: torch.Tensor,
    filter_HK: torch.Tensor,
    skip_H: torch.Tensor | None = None,
    past_BHP: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As the reference, in O(T log T); half types are transformed in float32."""
    return convolve(x_BHT, filter_HK, skip_H, past_BHP, torch.mul, _adjoint)


def _adjoint(x_BHF: torch.Tensor, filter_HF: torch.Tensor, grad_BHF: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    # one row at a time keeps the product of signal and gradient out of memory
    grad_filter_HF = torch.zeros_like(filter_HF)
    for x_HF, grad_HF in zip(x_BHF, grad_BHF, strict=True):
        grad_filter_HF.addcmul_(x_HF.conj(), grad_HF)
    return grad_BHF.mul_(filter_HF.conj()), grad_filter_HF
