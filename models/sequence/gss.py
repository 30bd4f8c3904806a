"""sequence/gss: gated state spaces, a diagonal layer in a reduced width under a gate."""

from __future__ import annotations

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

# D width, H reduced width, E gate width, N states


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Mehta et al. 2022, GSS, arXiv:2206.13947",
    differs="64 states rather than 512, small widths",
)
class GSS(SequenceModel):
    """y = W_o (W_y SSM(norm(gelu(W_u x))) * gelu(W_v x)), the state space over a quarter of the width, the gate over 4.

    K_t = Re sum_n C_n (e^{L_n} - 1) / L_n e^{L_n t}, one spectrum L = -exp(r) + i exp(s) for all channels, without a
    step size; r, s, both parts of C and the skip start at N(0, 1) (pseudocode 3.2).
    Differs from the paper: 64 states rather than 512, small widths.
    """

    states: int = 64  # N (512 in the paper)
    reduce: int = 4  # width over that of the state space
    expand: int = 4  # width of the gate over the width

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
        self.enter = nn.Linear(width, reduced, bias=False)
        self.gate = nn.Linear(width, gate, bias=False)
        self.norm = nn.LayerNorm(reduced)
        self.space = SharedSpectrum(reduced, states, rate)
        self.widen = nn.Linear(reduced, gate, bias=False)
        self.out = nn.Linear(gate, width)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """The state of the inner layer."""
        return self.space.start(batch, device, dtype)

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Convolve in the reduced width."""
        y_BTH, after = self.space(self._entered(x_BTD), state)
        return self._join(x_BTD, y_BTH), after

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """The inner recurrence."""
        y_BH, after = self.space.step(self._entered(x_BD), state)
        return self._join(x_BD, y_BH), after

    def _entered(self, x: Tensor) -> Tensor:
        entered: Tensor = self.norm(functional.gelu(self.enter(x)))
        return entered

    def _join(self, x: Tensor, y: Tensor) -> Tensor:
        joined: Tensor = self.out(self.widen(y) * functional.gelu(self.gate(x)))
        return joined


@final
class SharedSpectrum(DiagonalMixer):
    """K = Re(C (e^L - 1) / L e^{L t}) with one L for all channels."""

    def __init__(self, width: int, states: int, rate: float) -> None:
        super().__init__(width, states, "none")
        slow = min(rate, 1e-3)
        self.log_decay = parameter_rule(nn.Parameter(torch.randn(states)), learning_rate=slow, decay=False)
        self.log_turn = parameter_rule(nn.Parameter(torch.randn(states)), learning_rate=slow, decay=False)
        self.c = parameter_rule(nn.Parameter(torch.randn(width, states, 2)), decay=False)
        self.d = nn.Parameter(torch.randn(width))

    def system(self, length: int) -> Diagonal:
        """Zero-order hold over a step of one."""
        spectrum_N = torch.complex(-wide(self.log_decay).exp(), wide(self.log_turn).exp())
        c_HN = torch.view_as_complex(wide(self.c))
        return Diagonal(spectrum_N.expand_as(c_HN), c_HN * torch.expm1(spectrum_N) / spectrum_N, self.d)
