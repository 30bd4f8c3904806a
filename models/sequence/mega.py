"""sequence/mega: a moving average that prepares gated attention within chunks."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.registry import model
from harness.models.sequence import _diagonal as diagonal
from harness.models.sequence._diagonal import Diagonal
from harness.models.sequence._gated_chunks import GatedChunkAttention
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, Streaming, state_dtype, wide

# B batch, T time, D width, N averages of a channel


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Ma et al. 2022, MEGA, arXiv:2209.10655",
    differs="the gate u mixes with the normalised input of the pre-norm block rather than with the residual "
    "stream; position biases are by distance; averages are never cached, so none goes stale",
)
class Mega(SequenceModel):
    """h_t = q h_{t-1} + p beta x_t, EMA(x) = sum_n gamma_n h_n / sqrt(N), m = silu(EMA(x) + omega x); gated attention.

    p = sigmoid(delta), q = 1 - sigmoid(delta) sigmoid(alpha), N averages a channel; attention sees its own chunk.
    Differs from the paper: the gate u mixes with the normalised input of the pre-norm block rather than with the
    residual stream; position biases are by distance; averages are never cached, so none goes stale.
    """

    averages: int = 16  # N
    chunk: int = 128  # tokens
    keys: int = 16  # width of queries and keys (64 to 128 in the paper's larger models)

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        return MovingAverageAttention(site.width, self.averages, self.keys, self.chunk)


@final
class MovingAverageAttention(Mixer):
    """The average and the unit that it feeds."""

    streaming: Streaming = "window"

    def __init__(self, width: int, averages: int, keys: int, chunk: int) -> None:
        super().__init__()
        sign = torch.where(torch.arange(averages) % 2 == 0, 1.0, -1.0)
        self.delta = nn.Parameter(torch.randn(width, averages) * 0.2)
        self.alpha = nn.Parameter(torch.randn(width, averages) * 0.2)
        self.beta = nn.Parameter(sign + torch.randn(width, averages) * 0.02)
        self.gamma = nn.Parameter(torch.randn(width, averages))
        self.omega = nn.Parameter(torch.randn(width))
        self.attention = GatedChunkAttention(width, keys, 2 * width, chunk)

    def averages(self) -> Diagonal:
        """The moving average as a real diagonal recurrence; omega is its skip."""
        p = torch.sigmoid(wide(self.delta))
        weight = p * wide(self.beta) * wide(self.gamma) / math.sqrt(p.shape[1])
        return Diagonal(torch.log1p(-p * torch.sigmoid(wide(self.alpha))), weight, self.omega)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """No average, an empty chunk."""
        width, averages = self.delta.shape
        average = diagonal.empty(batch, width, averages, device, dtype, real=True)
        return {**average, **self.attention.start(batch, device, state_dtype(dtype))}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Average by convolution, then attend."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        y_BDT, held = diagonal.run(self.averages(), x_BTD.transpose(1, 2), state["state"], hand_on=True)
        y_BTD, kept = self.attention(x_BTD, functional.silu(y_BDT.transpose(1, 2)), state)
        return y_BTD, {**kept, "state": state["state"] if held is None else held}

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """Average by the recurrence, then attend."""
        y_BD, held = diagonal.step(self.averages(), x_BD, state["state"])
        y_BTD, kept = self.attention(x_BD[:, None], functional.silu(y_BD)[:, None], state)
        return y_BTD[:, 0], {**kept, "state": held}

    def state_bytes(self, length: int) -> int:
        """The averages and the unfinished chunk."""
        return 4 * self.delta.numel() + self.attention.state_bytes(length)
