"""sequence/xlstm: blocks of matrix and scalar memories in any ratio, in the first design or that of the 7B model."""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models.sequence._head_norm import HeadNorm
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import carried, empty_memory, packed, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype
from harness.models.sequence._short_conv import ShortConv
from harness.models.sequence.mlstm import MatrixLSTM

# B batch, T time, D width, E inner width, H heads, P width of a head, G gates

Design = Literal["first", "7b"]

gated_linear = operation("gated_linear")
fused_rnn = operation("fused_rnn")


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Beck et al. 2024, xLSTM, arXiv:2405.04517; 2025, arXiv:2503.13427",
    differs="the feed-forward part after an sLSTM or a 7B layer is the common MLP, not a gated one; the released "
    "code's 1e-6 in the denominator is left out",
)
class XLSTM(SequenceModel):
    """`matrix` mLSTM blocks, then `scalar` sLSTM blocks, and so on through the depth: xLSTM[matrix:scalar].

    first: an mLSTM block projects up, convolves (4 taps, SiLU) for queries and keys, adds a learned skip and gates with
    SiLU; an sLSTM block convolves for its input and forget gates and normalises each head.
    7b: only mLSTM blocks, of the 7B design (`sequence/mlstm`, gates capped at 15) over the common MLP.
    Differs from the paper: the feed-forward part after an sLSTM or a 7B layer is the common MLP, not a gated one; the
    released code's 1e-6 in the denominator is left out.
    """

    matrix: int = 1
    scalar: int = 1
    heads: int = 4
    design: Design = "first"

    def mixer(self, site: Site) -> Mixer:
        """The block of this place in the ratio."""
        if self.matrix < 0 or self.scalar < 0 or not self.matrix + self.scalar or site.width % self.heads:
            raise UsageError(
                f"xlstm: matrix={self.matrix} and scalar={self.scalar} must be at least 0 and not both 0, and "
                f"heads={self.heads} must divide the width {site.width}."
            )
        if self.design == "7b":
            return MatrixLSTM(site, self.heads, key_share=0.5, cap=15.0, input_bias=-10.0)
        if site.layer % (self.matrix + self.scalar) < self.matrix:
            return MatrixBlock(site, self.heads)
        return ScalarBlock(site, self.heads)


@final
class MatrixBlock(Mixer):
    """Pre-up-projection block around a matrix memory."""

    feedforward = False

    def __init__(self, site: Site, heads: int) -> None:
        super().__init__()
        width, inner = site.width, 2 * site.width
        self.heads = heads
        self.up = nn.Linear(width, 2 * inner, bias=False)
        self.conv = ShortConv(inner, 4)
        # block-diagonal maps of four channels
        self.maps = nn.Parameter(torch.empty(3, inner // 4, 4, 4))
        self.gates = nn.Linear(3 * inner, 2 * heads)
        self.norm = HeadNorm(heads, inner // heads)
        self.skip = nn.Parameter(torch.ones(inner))
        self.down = nn.Linear(inner, width, bias=False)
        with torch.no_grad():
            # the released layer counts the block's width here too, not the four channels of a map
            for part in (self.up.weight, self.maps):
                part.normal_(std=math.sqrt(2 / (5 * width)))
            self.down.weight.normal_(std=2 / (site.depth * math.sqrt(width)))
            self.gates.weight.zero_()
            self.gates.bias[:heads].normal_(std=0.1)
            self.gates.bias[heads:] = torch.linspace(3.0, 6.0, heads)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing written, nothing convolved."""
        size = len(self.skip) // self.heads
        memory = empty_memory(batch, (self.heads, size, size), device, dtype, "mlstm")
        return {**memory, "past": self.conv.start(batch, device, state_dtype(dtype))}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Write and read the new tokens."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        inner, gate = self.up(x_BTD).chunk(2, -1)
        blurred, past = self.conv(inner, state["past"])
        blurred = functional.silu(blurred)
        q, k, v = (self._map(part, source) for part, source in enumerate((blurred, blurred, inner)))
        enter, forget = self.gates(torch.cat([q, k, v], -1)).transpose(1, 2).chunk(2, 1)
        q, k, v = (split_heads(part, self.heads) for part in (q, k, v))
        keep = functional.logsigmoid(forget)
        y, last = gated_linear(q, k * k.shape[-1] ** -0.5, v, keep, enter, carried(state), "mlstm")
        y = self.norm(y.transpose(1, 2)).flatten(2) + self.skip * blurred
        return self.down(y * functional.silu(gate)), {**packed(last), "past": past}

    def _map(self, part: int, x_BTE: Tensor) -> Tensor:
        return torch.einsum("btgi,goi->btgo", x_BTE.unflatten(-1, (-1, 4)), self.maps[part]).flatten(2)


@final
class ScalarBlock(Mixer):
    """A scalar memory whose input and forget gates see convolved inputs; forget biases by depth and channel."""

    def __init__(self, site: Site, heads: int) -> None:
        super().__init__()
        width, size, place = site.width, site.width // heads, site.layer / max(1, site.depth - 1)
        self.conv = ShortConv(width, 4)
        # each head's gates see that head's channels only
        self.project = nn.Parameter(torch.randn(4, heads, size, size) * math.sqrt(2 / (5 * width)))
        self.recurrent = nn.Parameter(torch.zeros(4, heads, size, size))
        self.bias = nn.Parameter(torch.zeros(4, heads, size))
        self.norm = HeadNorm(heads, size)
        with torch.no_grad():
            spread = (torch.arange(size) / max(1, size - 1)) ** (0.3 + 1.3 * place)
            # from 5, which remembers, to -7, which forgets: the published code's "powerlaw blockdependent"
            self.bias[1] = 5 - 12 * spread

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros, and a stabiliser of -inf."""
        _, heads, size, _ = self.project.shape
        states = torch.zeros(4, batch, heads, size, device=device, dtype=state_dtype(dtype))
        states[3] = -torch.inf
        return {"states": states, "past": self.conv.start(batch, device, state_dtype(dtype))}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Run the new tokens."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        blurred, past = self.conv(x_BTD, state["past"])
        heads = self.project.shape[1]
        sources = torch.stack([functional.silu(blurred)] * 2 + [x_BTD] * 2, 2).unflatten(-1, (heads, -1))
        gates_BTGHP = torch.einsum("btghi,ghoi->btgho", sources, self.project)
        h_BTHP, last = fused_rnn(gates_BTGHP, self.recurrent, self.bias, state["states"], cell="slstm")
        return self.norm(h_BTHP).flatten(2), {"states": last, "past": past}
