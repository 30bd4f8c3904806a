"""sequence/lssl: the linear state-space layer, recurrent, convolutional and continuous in time at once."""

from __future__ import annotations

from typing import final

import torch
from torch import nn

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.models._training import parameter_rule
from harness.models.sequence._dense import Dense, DenseMixer, generalised_bilinear
from harness.models.sequence._hippo import legs
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, wide
from harness.models.sequence.s4d import log_uniform

# H channels, N state size


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Gu et al. 2021, LSSL, arXiv:2110.13985",
    differs="one output channel a feature; A is learned freely, not within the structured class that its fast "
    "(and unstable) algorithm needs",
)
class LSSL(SequenceModel):
    """x' = A x + B u, y = C x + D u, discretised by the generalised bilinear method of `alpha`; GELU, linear map.

    A is HiPPO-LegS; with `trainable` A and the step sizes learn at a rate of at most 1e-3 (LSSL), without it they stay
    (LSSL-fixed). A = -1 with alpha = 1 and dt = e^z is a recurrent network with the gate sigmoid(z).
    Differs from the paper: one output channel a feature; A is learned freely, not within the structured class that its
    fast (and unstable) algorithm needs.
    """

    states: int = 64  # N
    trainable: bool = True
    alpha: float = 0.5
    dt_low: float = 1e-3
    dt_high: float = 1e-1

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"lssl: alpha={self.alpha} must lie in 0..1 (0 Euler, 0.5 bilinear, 1 backward Euler).")
        rate = min(self.learning_rate, 1e-3) if self.trainable else 0.0
        return LSSLLayer(site.width, self.states, self.alpha, (self.dt_low, self.dt_high), rate)


@final
class LSSLLayer(DenseMixer):
    """One A and B for all channels, a step size and a C for each; `rate` 0 fixes A and the step sizes."""

    def __init__(self, width: int, size: int, alpha: float, dt: tuple[float, float], rate: float) -> None:
        super().__init__(width, size, gated=False)
        self.alpha = alpha
        a, b = legs(size)
        self.a = parameter_rule(nn.Parameter(a.float()), learning_rate=rate, decay=False)
        self.b = parameter_rule(nn.Parameter(b.float()), learning_rate=rate, decay=False)
        self.log_dt = parameter_rule(log_uniform(width, dt), learning_rate=rate, decay=False)
        for fixed in (self.a, self.b, self.log_dt):
            fixed.requires_grad_(rate > 0)
        self.c = nn.Parameter(torch.randn(width, size))
        self.d = nn.Parameter(torch.randn(width))

    def system(self) -> Dense:
        """The discretised layer."""
        a, b = generalised_bilinear(wide(self.a), wide(self.b), wide(self.log_dt).exp(), self.alpha)
        return Dense(a, b, wide(self.c), self.d)
