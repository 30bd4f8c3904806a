"""sequence/tcn: the temporal convolutional network, causal convolutions with growing dilations."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from harness.api.registry import model
from harness.models.sequence._dilated import DilatedStack
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype

# B batch, T time, D width


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Bai et al. 2018, TCN, arXiv:1803.01271",
    differs="the residual is around all levels of a block rather than around each, and the common block brings an MLP",
)
class TCN(SequenceModel):
    """Layers of weight-normalised causal convolutions and ReLU, two at each dilation base^0 .. base^(levels - 1).

    An output depends on exactly 1 + 2 (taps - 1) (sum of the dilations) inputs.
    Differs from the paper: the residual is around all levels of a block rather than around each, and the common block
    brings an MLP.
    """

    taps: int = 3
    levels: int = 4
    base: int = 2

    def mixer(self, site: Site) -> Mixer:
        """The levels of one block."""
        dilations = tuple(self.base**level for level in range(self.levels) for _ in range(2))
        return TemporalConvolutions(DilatedStack(site.width, self.taps, dilations, depthwise=False, active=True))


@final
class TemporalConvolutions(Mixer):
    """A dilated stack as a mixer."""

    def __init__(self, stack: DilatedStack) -> None:
        super().__init__()
        self.stack = stack

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Silence."""
        return self.stack.start(batch, device, state_dtype(dtype))

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Convolve the new tokens."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        y_BTD, after = self.stack(x_BTD, state)
        return y_BTD, after
