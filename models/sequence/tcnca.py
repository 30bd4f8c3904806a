"""sequence/tcnca: MEGA with a dilated convolution in place of the moving average."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from harness.api.registry import model
from harness.models.sequence._dilated import DilatedStack
from harness.models.sequence._gated_chunks import GatedChunkAttention
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, Streaming, state_dtype

# B batch, T time, D width


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Terzic et al. 2023, TCNCA, arXiv:2312.05605",
    differs="its kernel sizes and dilations were not at hand; the gate acts as in `sequence/mega`",
)
class TCNCA(SequenceModel):
    """m = silu(x + TCN(x)), then MEGA's gated attention within chunks.

    The convolution is depthwise at dilations base^0 .. base^(levels - 1): 1 + (taps - 1) (sum of the dilations)
    inputs reach an output, 497 by default.
    Differs from the paper: its kernel sizes and dilations were not at hand; the gate acts as in `sequence/mega`.
    """

    taps: int = 17
    levels: int = 3
    base: int = 5
    chunk: int = 128  # tokens
    keys: int = 16  # width of queries and keys

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        dilations = tuple(self.base**level for level in range(self.levels))
        stack = DilatedStack(site.width, self.taps, dilations, depthwise=True, active=False)
        return ConvolvedChunkAttention(stack, GatedChunkAttention(site.width, self.keys, 2 * site.width, self.chunk))


@final
class ConvolvedChunkAttention(Mixer):
    """The convolution and the unit that it feeds."""

    streaming: Streaming = "window"

    def __init__(self, stack: DilatedStack, attention: GatedChunkAttention) -> None:
        super().__init__()
        self.stack, self.attention = stack, attention

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Silence and an empty chunk."""
        kind = state_dtype(dtype)
        return {**self.stack.start(batch, device, kind), **self.attention.start(batch, device, kind)}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Convolve, then attend."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        context, pasts = self.stack(x_BTD, state)
        y_BTD, kept = self.attention(x_BTD, functional.silu(x_BTD + context), state)
        return y_BTD, {**pasts, **kept}

    def state_bytes(self, length: int) -> int:
        """The pasts of the convolutions and the unfinished chunk."""
        return 4 * self.stack.width * (self.stack.receptive_field - 1) + self.attention.state_bytes(length)
