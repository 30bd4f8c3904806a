"""sequence/jordan: the recurrent network that feeds back its output rather than its hidden layer."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype

# B batch, T time, D width, O fed-back outputs


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Jordan 1986, Serial order: a parallel distributed processing",
    differs="hidden units are tanh, context units do not decay, and training is by full back-propagation through time",
)
class Jordan(SequenceModel):
    """h_t = tanh(W x_t + U y_{t-1} + b), y_t = sigmoid(V h_t + c): only `outputs` numbers return to the next step.

    Differs from the paper: hidden units are tanh, context units do not decay, and training is by full back-propagation
    through time.
    """

    outputs: int = 16

    def mixer(self, site: Site) -> Mixer:
        """One recurrent layer."""
        return JordanLayer(site.width, min(self.outputs, site.width))


@final
class JordanLayer(Mixer):
    """A plain loop, since what returns has passed a second nonlinearity, which no fused kernel knows."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.read = nn.Linear(width, outputs)
        self.feed = nn.Linear(outputs, width, bias=False)
        self.out = nn.Linear(outputs, width)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """No output yet: zeros."""
        return {"output": torch.zeros(batch, self.read.out_features, device=device, dtype=state_dtype(dtype))}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Step through the new tokens."""
        y_BO = (state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype))["output"]
        projected, outputs = self.project(x_BTD), []
        for time in range(x_BTD.shape[1]):
            hidden_BD = torch.tanh(projected[:, time] + self.feed(y_BO.to(x_BTD.dtype)))
            y_BO = torch.sigmoid(self.read(hidden_BD)).to(y_BO.dtype)
            outputs.append(y_BO.to(x_BTD.dtype))
        mixed = self.out(torch.stack(outputs, 1)) if outputs else x_BTD
        return mixed, {"output": y_BO}
