"""sequence/lstm: long short-term memory, with forget gates and, by parameter, peepholes."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype
from harness.models.sequence._recurrent import HeadwiseRNN

# B batch, T time, D width


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Hochreiter & Schmidhuber 1997; Gers et al. 2000 (forget gate); Gers & Schmidhuber 2000 (peepholes)",
    differs="a forget gate, which the first paper lacks",
)
class LSTM(SequenceModel):
    """c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(z), h_t = sigmoid(o) tanh(c_t).

    With `peephole` the gates also see the cell: i and f see c_{t-1}, o sees c_t, each through a diagonal.
    Differs from the paper: a forget gate, which the first paper lacks.
    """

    heads: int = 1
    forget: float = 1.0  # Jozefowicz et al. 2015
    peephole: bool = False

    def mixer(self, site: Site) -> Mixer:
        """One recurrent layer."""
        if self.peephole:
            return PeepholeLSTM(site.width, self.forget)
        return HeadwiseRNN(site.width, "lstm", self.heads, self.forget)


@final
class PeepholeLSTM(Mixer):
    """An LSTM whose gates see the cell; a plain loop, since no fused kernel knows it."""

    def __init__(self, width: int, forget: float) -> None:
        super().__init__()
        self.project = nn.Linear(width, 4 * width)
        self.recurrent = nn.Linear(width, 4 * width, bias=False)
        self.peep = nn.Parameter(torch.zeros(3, width))
        with torch.no_grad():
            self.project.bias[width : 2 * width] += forget

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros."""
        zeros = torch.zeros(batch, self.peep.shape[1], device=device, dtype=state_dtype(dtype))
        return {"hidden": zeros, "cell": zeros}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Step through the new tokens."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        hidden, cell = state["hidden"], state["cell"]
        projected, outputs = self.project(x_BTD), []
        for time in range(x_BTD.shape[1]):
            gates = projected[:, time] + self.recurrent(hidden.to(x_BTD.dtype))
            enter, forget, value, leave = gates.to(cell.dtype).chunk(4, -1)
            kept = torch.sigmoid(forget + self.peep[1] * cell) * cell
            cell = kept + torch.sigmoid(enter + self.peep[0] * cell) * torch.tanh(value)
            hidden = torch.sigmoid(leave + self.peep[2] * cell) * torch.tanh(cell)
            outputs.append(hidden.to(x_BTD.dtype))
        stacked = torch.stack(outputs, 1) if outputs else x_BTD
        return stacked, {"hidden": hidden, "cell": cell}
