"""How fast a long convolution and its filter are as one would first write them, under autograd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.kernels._stopwatch import Stopwatch, threads


@model(doors=("measure",), paper="none", licence="Apache-2.0", differs="none")
class Straightforward:
    """S4D's filter through an array [H, N, L], and a convolution by one real Fourier transform.

    Differs from the paper: none.
    """

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Threads; its code is in the signature already."""
        return threads()

    def load(self, setting: Setting) -> Stopwatch:
        """Nothing to load."""
        return Stopwatch("straightforward", setting, {"vandermonde": vandermonde, "long_conv": long_conv})


def vandermonde(weight_HN: torch.Tensor, rate_HN: torch.Tensor, length: int) -> Any:
    """Every power of every pole at once."""
    powers_HNL = torch.exp(rate_HN.unsqueeze(2) * torch.arange(length, device=rate_HN.device))
    filter_HL = torch.einsum("hn,hnl->hl", weight_HN, powers_HNL)
    return filter_HL.real if filter_HL.is_complex() else filter_HL


def long_conv(
    x_BHT: torch.Tensor, filter_HK: torch.Tensor, skip_H: torch.Tensor | None, past_BHP: torch.Tensor | None
) -> Any:
    """The past in front of the sequence, transforms of both together."""
    length, taps = x_BHT.shape[2], filter_HK.shape[1]
    past = x_BHT.new_zeros(*x_BHT.shape[:2], taps - 1) if past_BHP is None else past_BHP
    all_BHT = torch.cat((past, x_BHT), 2)
    size = all_BHT.shape[2] + taps
    y = torch.fft.irfft(torch.fft.rfft(all_BHT, size) * torch.fft.rfft(filter_HK, size), size)
    y_BHT = y[..., taps - 1 : taps - 1 + length]
    return y_BHT if skip_H is None else y_BHT + skip_H[:, None] * x_BHT, all_BHT[..., length:]
