"""Which filters can be generated in memory linear in their length? Krylov, moving-average and implicit ones.

The fourth, sums of complex exponentials, is the operation `vandermonde`; none of these holds [H, N, L] at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from harness.kernels._dispatch import operation

# H channels, N state of a channel, L steps of the filter, A coarse powers, M fine powers (A M >= L)
# D width of a position's embedding, W width of the hidden layers
vandermonde = operation("vandermonde")


def krylov(a_HNN: torch.Tensor, b_HN: torch.Tensor, c_HN: torch.Tensor, length: int) -> torch.Tensor:
    """Generate k_l = C A^l B for dense A, as (C A^(aM)) (A^m B): O(sqrt(L)) vectors of N, products in float64.

    a is [H, N, N], b and c [H, N]; returns [H, length] in their type.

    Paper: Gu et al. 2021, LSSL, arXiv:2110.13985, section 3.2. Differs from the paper: its fast algorithm (theorem 2)
    is numerically unstable and is not used.
    """
    fine = max(1, math.isqrt(length))
    coarse = -(-length // fine)
    a, b, c = a_HNN.double(), b_HN.double(), c_HN.double()
    fine_HMN = _orbit(a, b, fine)
    coarse_HAN = _orbit(torch.linalg.matrix_power(a, fine).transpose(1, 2), c, coarse)
    filter_HAM = coarse_HAN.to(c_HN.dtype) @ fine_HMN.to(c_HN.dtype).transpose(1, 2)
    return filter_HAM.flatten(1)[:, :length]


def ema(
    p_HN: torch.Tensor, q_HN: torch.Tensor, beta_HN: torch.Tensor, gamma_HN: torch.Tensor, length: int
) -> torch.Tensor:
    """Generate MEGA's damped moving average, k_l = sum_n gamma sqrt(1/N) p beta q^l, for q in (0, 1]; [H, length].

    Paper: Ma et al. 2022, MEGA, arXiv:2209.10655, equation 5. Differs from the paper: none.
    """
    weight_HN = gamma_HN * p_HN * beta_HN / math.sqrt(p_HN.shape[1])
    filter_HL: torch.Tensor = vandermonde(weight_HN, torch.log(q_HN), length)
    return filter_HL


def implicit(
    weights: Sequence[torch.Tensor],
    biases: Sequence[torch.Tensor | None],
    frequency_W: torch.Tensor,
    decay_H: torch.Tensor,
    length: int,
) -> torch.Tensor:
    """Generate Hyena's filter: a small network of each position, under an exponential window; [H, length].

    k_l = MLP(l / (L - 1), cos, sin of D // 2 bands) exp(-|decay| l / (L - 1)); sin(frequency x) between the layers,
    weights [W, D], [W, W] ..., [H, W].

    Paper: Poli et al. 2023, Hyena, arXiv:2302.10866, section 3.3. Differs from the paper: none.
    """
    first = weights[0]
    position_L = torch.linspace(0, 1, length, dtype=first.dtype, device=first.device)
    bands = (first.shape[1] - 1) // 2
    band = torch.linspace(1e-4, max(bands - 1, 1e-4), bands, dtype=first.dtype, device=first.device)
    angle = math.tau * torch.arange(length, dtype=first.dtype, device=first.device)[:, None] * band / max(length, 1)
    hidden = torch.cat((position_L[:, None], torch.cos(angle), -torch.sin(angle)), 1)
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        hidden = functional.linear(hidden, weight, bias)
        if index + 1 < len(weights):
            hidden = torch.sin(frequency_W * hidden)
    return hidden.T * torch.exp(-decay_H.abs()[:, None] * position_L)


def _orbit(a_HNN: torch.Tensor, b_HN: torch.Tensor, count: int) -> torch.Tensor:
    """The vectors A^0 B .. A^(count - 1) B as rows [H, count, N], by doubling."""
    rows, power = b_HN.unsqueeze(1), a_HNN
    while rows.shape[1] < count:
        rows = torch.cat((rows, rows @ power.transpose(1, 2)), 1)
        power = power @ power
    return rows[:, :count]
