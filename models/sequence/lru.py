"""sequence/lru: the linear recurrent unit, with eigenvalues drawn in a ring."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models._training import parameter_rule
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype, wide

# B batch, T time, D width, N state size

linear_scan = operation("linear_scan")


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Orvieto et al. 2023, LRU, arXiv:2303.06349",
    differs="none",
)
class LRU(SequenceModel):
    """h_t = l h_{t-1} + g (B x_t), y_t = Re(C h_t) + d x_t, l = exp(-exp(nu) + i exp(theta)), g = sqrt(1 - |l|^2).

    |l| is drawn uniformly (in area) between `low` and `high`, its angle below `phase`; then GELU and a GLU. For long
    tasks the paper draws from a thinner ring, up to 0.9..0.999, and from smaller angles.
    Differs from the paper: none.
    """

    states: int = 64  # N, complex
    low: float = 0.0  # |l| at the start: the whole disc
    high: float = 1.0
    phase: float = 6.28

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        if not 0 <= self.low < self.high <= 1:
            raise UsageError(f"lru: low={self.low} and high={self.high} must be in order within 0..1.")
        return RingLayer(site.width, self.states, (self.low, self.high), self.phase, self.learning_rate)


@final
class RingLayer(Mixer):
    """A complex diagonal recurrence with full input and output maps."""

    feedforward = False

    def __init__(self, width: int, states: int, ring: tuple[float, float], phase: float, rate: float) -> None:
        super().__init__()
        low, high = ring
        # neither 0, whose logarithm has no gradient, nor 1, which never forgets
        square = (torch.rand(states) * (high**2 - low**2) + low**2).clamp(1e-12, 1 - 1e-6)
        slow = min(rate, 1e-3)
        self.nu = parameter_rule(nn.Parameter((-0.5 * square.log()).log()), learning_rate=slow, decay=False)
        turn = (phase * torch.rand(states)).clamp(min=1e-6)
        self.theta = parameter_rule(nn.Parameter(turn.log()), learning_rate=slow, decay=False)
        scale = (1 - square).sqrt().log()
        self.gamma = parameter_rule(nn.Parameter(scale), learning_rate=slow, decay=False)
        self.b = nn.Parameter(torch.randn(states, width, 2) / math.sqrt(2 * width))
        self.c = nn.Parameter(torch.randn(width, states, 2) / math.sqrt(states))
        self.d = nn.Parameter(torch.randn(width))
        self.out = nn.Linear(width, 2 * width)

    def eigenvalues(self) -> Tensor:
        """The ring's eigenvalues [N]."""
        return torch.exp(torch.complex(-wide(self.nu).exp(), wide(self.theta).exp()))

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros [B, N]."""
        kind = torch.complex128 if state_dtype(dtype) == torch.float64 else torch.complex64
        return {"state": torch.zeros(batch, len(self.nu), device=device, dtype=kind)}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Scan the new tokens."""
        b_ND = torch.view_as_complex(wide(self.b)) * wide(self.gamma).exp()[:, None]
        driven = x_BTD.to(b_ND.dtype) @ b_ND.T
        gate = self.eigenvalues().to(driven.dtype).expand_as(driven)
        held, last = linear_scan(gate, driven, state["state"] if state else None)
        y_BTD = (held @ torch.view_as_complex(wide(self.c)).T).real.to(x_BTD.dtype) + self.d * x_BTD
        return functional.glu(self.out(functional.gelu(y_BTD)), -1), {"state": last}
