"""sequence/mlstm: the LSTM with a matrix memory and exponential gates."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models.sequence._head_norm import HeadNorm
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import carried, empty_memory, packed, split_heads
from harness.models.sequence._mixer import Mixer, Site, State

# B batch, T time, D width, H heads

gated_linear = operation("gated_linear")


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Beck et al. 2024, xLSTM, arXiv:2405.04517; 2503.13427 (7B)",
    differs="the cell in the common block; up-projection, convolution and skip are `sequence/xlstm`",
)
class MLSTM(SequenceModel):
    """C_t = f C_{t-1} + i v k^T, n_t = f n_{t-1} + i k, y_t = sigmoid(o) norm(C_t q / max(|n_t q|, e^{-m_t})).

    The layer of the 7B design: gates from the layer's input with a soft cap of 15, input-gate bias -10, forget-gate
    biases 3..6, a norm for each head with a weight a channel, keys scaled by 1 / sqrt(size), query and key half as wide
    as values by default. Only the gates i and f have biases; the output gate starts at 1/2 for every input.
    Differs from the paper: the cell in the common block; up-projection, convolution and skip are `sequence/xlstm`.
    """

    heads: int = 4
    key_share: float = 0.5  # width of queries and keys over that of values
    cap: float = 15.0
    input_bias: float = -10.0

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        return MatrixLSTM(site, self.heads, key_share=self.key_share, cap=self.cap, input_bias=self.input_bias)


@final
class MatrixLSTM(Mixer):
    """Matrix memory of the 7B design."""

    def __init__(self, site: Site, heads: int, *, key_share: float, cap: float, input_bias: float) -> None:
        super().__init__()
        width = site.width
        self.heads, self.cap = heads, cap
        self.keys = max(1, int(key_share * width / heads))
        self.values = width // heads
        self.query_key = nn.Linear(width, 2 * heads * self.keys, bias=False)
        self.value = nn.Linear(width, heads * self.values, bias=False)
        self.gates = nn.Linear(width, 2 * heads)
        self.leave = nn.Linear(width, heads * self.values, bias=False)
        self.norm = HeadNorm(heads, self.values, 1e-6)
        self.out = nn.Linear(heads * self.values, width, bias=False)
        with torch.no_grad():
            # xlstm-jax, layer_v1: variance 2 / (5 d); output gate 0; deviation 2 / (blocks sqrt(d)) on the way out
            for part in (self.query_key, self.value):
                part.weight.normal_(std=math.sqrt(2 / (5 * width)))
            self.out.weight.normal_(std=2 / (site.depth * math.sqrt(width)))
            self.leave.weight.zero_()
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
        enter, forget = self.capped(x_BTD).transpose(1, 2).chunk(2, 1)
        y, last = gated_linear(q, k * self.keys**-0.5, v, functional.logsigmoid(forget), enter, carried(state), "mlstm")
        normed = self.norm(y.transpose(1, 2)).flatten(2)
        return self.out(torch.sigmoid(self.leave(x_BTD)) * normed), packed(last)

    def capped(self, x_BTD: Tensor) -> Tensor:
        """Logits of the input and the forget gates [B, T, 2H], softly held within the cap."""
        return self.cap * torch.tanh(self.gates(x_BTD) / self.cap)
