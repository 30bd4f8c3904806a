"""How is a Vandermonde filter made on a CPU? As one matrix product of sqrt(L) coarse and sqrt(L) fine powers."""

from __future__ import annotations

import math

import torch

# H channels, N exponentials of a channel, L steps of the filter, A coarse powers, M fine powers (A M >= L)
# R real parts of the exponentials: N of them, or 2 N when complex


def vandermonde(weight_HN: torch.Tensor, rate_HN: torch.Tensor, length: int) -> torch.Tensor:
    """As the reference, from exp(rate (a M + m)) = exp(rate a M) exp(rate m): O(H N sqrt(L)) exponentials."""
    fine = max(1, math.isqrt(length))
    coarse = -(-length // fine)
    fine_HRM = _powers(rate_HN, torch.arange(fine, device=rate_HN.device))
    coarse_HRA = _powers(rate_HN, torch.arange(coarse, device=rate_HN.device) * fine)
    if rate_HN.is_complex():
        # Re(w c f) = Re(w c) Re(f) - Im(w c) Im(f)
        real, imaginary = coarse_HRA.chunk(2, 1)
        w = weight_HN.unsqueeze(2)
        coarse_HRA = torch.cat((w.real * real - w.imag * imaginary, -w.real * imaginary - w.imag * real), 1)
    else:
        coarse_HRA = weight_HN.unsqueeze(2) * coarse_HRA
    filter_HAM = torch.bmm(coarse_HRA.transpose(1, 2), fine_HRM)
    return filter_HAM.flatten(1)[:, :length]


def _powers(rate_HN: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """exp(rate step) as real numbers [H, R, steps]; real parts first, then imaginary ones."""
    real = rate_HN.real if rate_HN.is_complex() else rate_HN
    size = torch.exp(real.unsqueeze(2) * steps)
    if not rate_HN.is_complex():
        return size
    # only the remainder after whole turns counts, and float32 would lose it at a few thousand radians
    phase = rate_HN.imag.double().unsqueeze(2) * steps
    phase = (phase - torch.round(phase.detach() / math.tau) * math.tau).to(size.dtype)
    return torch.cat((size * torch.cos(phase), size * torch.sin(phase)), 1)
