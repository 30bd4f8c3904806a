"""sequence/jordan: the recurrent network that feeds back its output rather than its hidden layer."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype

# B batch, T time, D width, O fed-back outputs

fused_rnn = operation("fused_rnn")


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Jordan 1986, Serial order: a parallel distributed processing",
    differs="the context units do not decay, and training is by full back-propagation through time",
)
class Jordan(SequenceModel):
    """h_t = tanh(W x_t + U y_{t-1} + b), y_t = V h_t: only `outputs` numbers return to the next step.

    Differs from the paper: the context units do not decay, and training is by full back-propagation through time.
    """

    outputs: int = 16

    def mixer(self, site: Site) -> Mixer:
        """One recurrent layer."""
        return JordanLayer(site.width, min(self.outputs, site.width))


@final
class JordanLayer(Mixer):
    """An Elman network whose recurrent matrix U V has rank O, which is what feeding back y = V h amounts to."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.read = nn.Linear(width, outputs, bias=False)
        self.feed = nn.Linear(outputs, width, bias=False)
        self.out = nn.Linear(outputs, width)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros."""
        return {"hidden": torch.zeros(1, batch, 1, self.read.in_features, device=device, dtype=state_dtype(dtype))}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Run the new tokens."""
        recurrent = (self.feed.weight @ self.read.weight)[None, None]
        projected = self.project(x_BTD)[:, :, None, None]
        bias = torch.zeros_like(self.project.bias)[None, None]
        h_BTHD, last = fused_rnn(projected, recurrent, bias, state["hidden"] if state else None, cell="elman")
        return self.out(self.read(h_BTHD[:, :, 0])), {"hidden": last}
