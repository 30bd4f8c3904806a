"""sequence/s4d: the diagonal state-space layer, in its Lin, LegS and Inv initialisations."""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor, nn

from harness.api.registry import model
from harness.models._training import parameter_rule
from harness.models.sequence._diagonal import Diagonal
from harness.models.sequence._hippo import legs_spectrum
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, wide
from harness.models.sequence._ssm_block import DiagonalMixer

# H channels, N pairs of conjugate states


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Gu et al. 2022, S4D, arXiv:2206.11893",
    differs="none",
)
class S4D(SequenceModel):
    """k_t = 2 Re sum_n C_n (e^{dt A_n} - 1) / A_n e^{dt A_n t}, zero-order hold, B = 1; then GELU and a GLU.

    A_n = -1/2 + i pi n (lin), -1/2 + i (N/pi) (N / (2n+1) - 1) (inv), or the spectrum of HiPPO-LegS (legs), n < N/2.
    The layer's own parameters learn at a rate of at most 1e-3, without weight decay.
    Differs from the paper: none.
    """

    states: int = 64  # N, real; N / 2 complex pairs
    init: Literal["lin", "legs", "inv"] = "lin"
    dt_low: float = 1e-3
    dt_high: float = 1e-1

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        return S4DLayer(site.width, self.states // 2, self.init, (self.dt_low, self.dt_high), self.learning_rate)


@final
class S4DLayer(DiagonalMixer):
    """N / 2 complex states a channel."""

    def __init__(self, width: int, pairs: int, init: str, dt: tuple[float, float], rate: float) -> None:
        super().__init__(width, pairs)
        slow = min(rate, 1e-3)
        decay, turn = spectrum(init, pairs)
        self.log_dt = parameter_rule(log_uniform(width, dt), learning_rate=slow, decay=False)
        self.log_decay = parameter_rule(nn.Parameter(decay.log().repeat(width, 1)), learning_rate=slow, decay=False)
        self.turn = parameter_rule(nn.Parameter(turn.repeat(width, 1)), learning_rate=slow, decay=False)
        self.c = parameter_rule(nn.Parameter(torch.randn(width, pairs, 2) * 0.5**0.5), decay=False)
        self.d = nn.Parameter(torch.randn(width))

    def system(self, length: int) -> Diagonal:
        """Zero-order hold; the factor two stands for the conjugate halves."""
        a_HN = torch.complex(-wide(self.log_decay).exp(), wide(self.turn))
        log_a_HN = wide(self.log_dt).exp()[:, None] * a_HN
        return Diagonal(log_a_HN, 2 * torch.view_as_complex(wide(self.c)) * torch.expm1(log_a_HN) / a_HN, self.d)


def spectrum(init: str, pairs: int) -> tuple[Tensor, Tensor]:
    """-Re A and Im A of the first half of the states."""
    order, size = torch.arange(pairs), 2 * pairs
    if init == "legs":
        return legs_spectrum(size)
    if init == "inv":
        return torch.full((pairs,), 0.5), size / math.pi * (size / (2 * order + 1) - 1)
    return torch.full((pairs,), 0.5), math.pi * order.float()


def log_uniform(size: int | tuple[int, ...], bounds: tuple[float, float]) -> nn.Parameter:
    """Logarithms of step sizes, uniform between those of the bounds."""
    low, high = math.log(bounds[0]), math.log(bounds[1])
    return nn.Parameter(low + (high - low) * torch.rand(size))
