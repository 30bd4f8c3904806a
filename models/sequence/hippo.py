"""sequence/hippo: a gated recurrent network with an optimal polynomial memory of its own signal."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, final

import torch
from torch import Tensor, nn

from harness.api.registry import model
from harness.models.sequence._hippo import legs, legt
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype

# B batch, T time, D width, N memory size

Measure = Literal["legs", "legt"]


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Gu et al. 2020, HiPPO, arXiv:2008.07669",
    differs="none but the unit of time, which is a window: LegT's A and B are twice those of code whose window has "
    "length 2",
)
class HiPPO(SequenceModel):
    """h_t = (1 - g) h_{t-1} + g tanh(W [h_{t-1}, c_{t-1}, x_t]), f_t = L h_t, c_t = A_t c_{t-1} + B_t f_t.

    c_t holds the Legendre coefficients of f's whole past (legs, whose A_t scales as 1 / t) or of its last `window`
    steps (legt). A_t and B_t are the bilinear discretisation, and are not learned.
    Differs from the paper: none but the unit of time, which is a window: LegT's A and B are twice those of code whose
    window has length 2.
    """

    states: int = 64  # N
    measure: Measure = "legs"
    window: int = 0  # steps that legt remembers; 0 for the longest training sequence

    def mixer(self, site: Site) -> Mixer:
        """One recurrent layer."""
        return PolynomialMemory(site.width, self.states, self.measure, self.window or max(1, site.length))


@final
class PolynomialMemory(Mixer):
    """A gated cell that writes one number a step into the memory and reads all of it."""

    def __init__(self, width: int, states: int, measure: Measure, window: int) -> None:
        super().__init__()
        self.states, self.measure, self.window = states, measure, window
        self.cell = nn.Linear(2 * width + states, 2 * width)
        self.write = nn.Linear(width, 1)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing remembered, no step taken."""
        kind = state_dtype(dtype)
        return {
            "hidden": torch.zeros(batch, self.write.in_features, device=device, dtype=kind),
            "memory": torch.zeros(batch, self.states, device=device, dtype=kind),
            "steps": torch.zeros(1, device=device, dtype=torch.int64),
        }

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Step through the new tokens."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        hidden, memory, begin = state["hidden"], state["memory"], int(state["steps"])
        outputs = []
        for time in range(x_BTD.shape[1]):
            seen = torch.cat([hidden, memory, x_BTD[:, time].to(hidden.dtype)], -1)
            gate, fresh = self.cell(seen.to(x_BTD.dtype)).to(hidden.dtype).chunk(2, -1)
            hidden = hidden + torch.sigmoid(gate) * (torch.tanh(fresh) - hidden)
            f_B1 = self.write(hidden.to(x_BTD.dtype)).to(hidden.dtype)
            a_NN, b_N = (part.to(memory) for part in transition(self.measure, self.states, self._step(begin + time)))
            memory = memory @ a_NN.T + f_B1 * b_N
            outputs.append(hidden.to(x_BTD.dtype))
        stacked = torch.stack(outputs, 1) if outputs else x_BTD
        steps = torch.full_like(state["steps"], begin + x_BTD.shape[1])
        return stacked, {"hidden": hidden, "memory": memory, "steps": steps}

    def _step(self, time: int) -> float:
        return 1.0 / (time + 1) if self.measure == "legs" else 1.0 / self.window


@lru_cache(maxsize=2048)
def transition(measure: Measure, size: int, step: float) -> tuple[Tensor, Tensor]:
    """The bilinear (A_t [N, N], B_t [N]) of a step of the measure's own time, in float64."""
    a, b = legs(size) if measure == "legs" else legt(size)
    eye = torch.eye(size, dtype=a.dtype)
    solved = torch.linalg.solve(eye - step / 2 * a, torch.cat([eye + step / 2 * a, step * b[:, None]], 1))
    return solved[:, :size], solved[:, size]


def reconstruct(memory_BN: Tensor, points: Tensor) -> Tensor:
    """The remembered signal [B, P] at `points` of the memory's span, from 0 (its oldest step) to 1 (now)."""
    x = 2 * points - 1
    polynomials = [torch.ones_like(x), x]
    for n in range(1, memory_BN.shape[1] - 1):
        polynomials.append(((2 * n + 1) * x * polynomials[n] - n * polynomials[n - 1]) / (n + 1))
    order = torch.arange(memory_BN.shape[1], dtype=x.dtype)
    basis = torch.stack(polynomials[: memory_BN.shape[1]]) * torch.sqrt(2 * order + 1)[:, None]
    return memory_BN @ basis
