"""sequence/mlstm: the LSTM with a matrix memory and exponential gates."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import carried, empty_memory, join_heads, packed, split_heads
from harness.models.sequence._mixer import Mixer, Site, State

# B batch, T time, D width, H heads

gated_linear = operation("gated_linear")


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Beck et al. 2024, xLSTM, arXiv:2405.04517; 2503.13427 (7B)",
    differs="the cell in the common block; up-projection, convolution and skip are `sequence/xlstm`",
)
class MLSTM(SequenceModel):
    """C_t = f C_{t-1} + i v k^T, n_t = f n_{t-1} + i k, y_t = sigmoid(o) norm(C_t q / max(|n_t q|, e^{-m_t})).

    The layer of the 7B design: gates from the layer's input with a soft cap of 15, input-gate bias -10, forget-gate
    biases 3..6, a norm for each head, keys scaled by 1 / sqrt(size), query and key half as wide as values by default.
    Differs from the paper: the cell in the common block; up-projection, convolution and skip are `sequence/xlstm`.
    """

    heads: int = 4
    key_share: float = 0.5  # width of queries and keys over that of values
    cap: float = 15.0
    input_bias: float = -10.0

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        return MatrixLSTM(site.width, self.heads, self.key_share, self.cap, self.input_bias)


@final
class MatrixLSTM(Mixer):
    """Matrix memory of the 7B design."""

    def __init__(self, width: int, heads: int, key_share: float, cap: float, input_bias: float) -> None:
        super().__init__()
        self.heads, self.cap = heads, cap
        self.keys = max(1, int(key_share * width / heads))
        self.values = width // heads
        self.query_key = nn.Linear(width, 2 * heads * self.keys, bias=False)
        self.value = nn.Linear(width, heads * self.values, bias=False)
        self.gates = nn.Linear(width, 2 * heads)
        self.leave = nn.Linear(width, heads * self.values)
        self.norm = nn.LayerNorm(self.values)
        self.out = nn.Linear(heads * self.values, width, bias=False)
        with torch.no_grad():
            self.gates.weight.zero_()
            self.gates.bias[:heads] = input_bias
            self.gates.bias[heads:] = torch.linspace(3.0, 6.0, heads)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing written."""
        return empty_memory(batch, (self.heads, self.keys, self.values), device, dtype, "mlstm")

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Write and read the new tokens."""
        q, k = (split_heads(part, self.heads) for part in self.query_key(x_BTD).chunk(2, -1))
        v = split_heads(self.value(x_BTD), self.heads)
        gates = self.cap * torch.tanh(self.gates(x_BTD) / self.cap)
        enter, forget = gates.transpose(1, 2).chunk(2, 1)
        y, last = gated_linear(q, k * self.keys**-0.5, v, functional.logsigmoid(forget), enter, carried(state), "mlstm")
        return self.out(torch.sigmoid(self.leave(x_BTD)) * join_heads(self.norm(y))), packed(last)
