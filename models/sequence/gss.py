"""sequence/gss: gated state spaces, a diagonal layer in a reduced width under a gate."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.registry import model
from harness.models._training import parameter_rule
from harness.models.sequence._diagonal import Diagonal
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, wide
from harness.models.sequence._ssm_block import DiagonalMixer
from harness.models.sequence.s4d import log_uniform

# D width, H reduced width, E gate width, N states


@model(doors=("label", "forecast"), learns=True, paper="Mehta et al. 2022, GSS, arXiv:2206.13947")
class GSS(SequenceModel):
    """y = W_o (W_y SSM(gelu(W_u x)) * gelu(W_v x)), the state space over a quarter of the width, the gate over more.

    The state space is DSS-exp without its output map, one spectrum for all channels.
    Differs from the paper: an expansion of 2 rather than 4, small widths; the spectrum starts as S4D-Lin's, since the
    paper's random start was not at hand to compare.
    """

    states: int = 64  # N (512 in the paper)
    reduce: int = 4
    expand: int = 2

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        inner = max(1, site.width // self.reduce)
        return GatedStateSpace(site.width, inner, self.expand * site.width, self.states, self.learning_rate)


@final
class GatedStateSpace(Mixer):
    """The gate, the two maps and the state space between them."""

    feedforward = False

    def __init__(self, width: int, reduced: int, gate: int, states: int, rate: float) -> None:
        super().__init__()
        self.enter = nn.Linear(width, reduced)
        self.gate = nn.Linear(width, gate)
        self.space = SharedSpectrum(reduced, states, rate)
        self.widen = nn.Linear(reduced, gate)
        self.out = nn.Linear(gate, width)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """The state of the inner layer."""
        return self.space.start(batch, device, dtype)

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Convolve in the reduced width."""
        y_BTH, after = self.space(functional.gelu(self.enter(x_BTD)), state)
        return self._join(x_BTD, y_BTH), after

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """The inner recurrence."""
        y_BH, after = self.space.step(functional.gelu(self.enter(x_BD)), state)
        return self._join(x_BD, y_BH), after

    def _join(self, x: Tensor, y: Tensor) -> Tensor:
        joined: Tensor = self.out(self.widen(y) * functional.gelu(self.gate(x)))
        return joined


@final
class SharedSpectrum(DiagonalMixer):
    """K = Re(C (e^{dt L} - 1) / L e^{dt L t}) with one L for all channels."""

    def __init__(self, width: int, states: int, rate: float) -> None:
        super().__init__(width, states, "none")
        slow = min(rate, 1e-3)
        self.log_decay = parameter_rule(nn.Parameter(torch.full((states,), 0.5).log()), learning_rate=slow, decay=False)
        self.turn = parameter_rule(nn.Parameter(math.pi * torch.arange(states)), learning_rate=slow, decay=False)
        self.log_dt = parameter_rule(log_uniform(width, (1e-3, 1e-1)), learning_rate=slow, decay=False)
        self.c = parameter_rule(nn.Parameter(torch.randn(width, states, 2) * 0.5**0.5), decay=False)
        self.d = nn.Parameter(torch.randn(width))

    def system(self, length: int) -> Diagonal:
        """Zero-order hold."""
        spectrum_N = torch.complex(-wide(self.log_decay).exp(), wide(self.turn))
        log_a_HN = torch.outer(wide(self.log_dt).exp(), spectrum_N)
        c_HN = torch.view_as_complex(wide(self.c))
        return Diagonal(log_a_HN, c_HN * torch.expm1(log_a_HN) / spectrum_N, self.d)
