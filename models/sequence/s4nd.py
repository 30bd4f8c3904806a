"""sequence/s4nd: state spaces along every axis of an image, as one separable convolution."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State
from harness.models.sequence.s4d import S4DLayer

# B batch, T tokens of the flattened grid, D width, R rows, C columns

long_conv = operation("long_conv")
vandermonde = operation("vandermonde")


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Nguyen et al. 2022, S4ND, arXiv:2210.06583",
    differs="rank one, diagonal state spaces (S4D-Lin); the resolution is that of training",
)
class S4ND(SequenceModel):
    """K(i, j) = K_1(i) K_2(j): one state-space kernel an axis, their outer product over the image; GELU and a GLU.

    Each axis is read in both directions. Without a grid it is a one-dimensional, causal S4D.
    Differs from the paper: rank one, diagonal state spaces (S4D-Lin); the resolution is that of training.
    """

    states: int = 64  # N, real

    def mixer(self, site: Site) -> Mixer:
        """A planar layer where the training data are images, else a layer over time."""
        if len(site.grid) == 2 and not site.causal:
            return PlanarLayer(site.width, self.states // 2, self.learning_rate)
        return S4DLayer(site.width, self.states // 2, "lin", (1e-3, 1e-1), self.learning_rate)


@final
class PlanarLayer(Mixer):
    """Four one-dimensional kernels: rows and columns, forwards and backwards."""

    feedforward = False
    causal = False
    streaming = "none"

    def __init__(self, width: int, pairs: int, rate: float) -> None:
        super().__init__()
        made = [S4DLayer(width, pairs, "lin", (1e-3, 1e-1), rate) for _ in range(4)]
        # only their kernels are used; one output map and one skip stand for all
        for layer in made:
            del layer.out
            layer.d = nn.Parameter(torch.zeros(width), requires_grad=False)
        self.axes = nn.ModuleList(made)
        self.d = nn.Parameter(torch.randn(width))
        self.out = nn.Linear(width, 2 * width)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Images have no order in time."""
        return {}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Convolve the columns, then the rows; a batch of one row is a one-dimensional sequence."""
        rows, columns = grid if len(grid) == 2 else (1, x_BTD.shape[1])
        x_BDRC = x_BTD.transpose(1, 2).unflatten(2, (rows, columns))
        y_BDRC = along(along(x_BDRC, *self.kernels(columns)[2:]).mT, *self.kernels(rows)[:2]).mT
        y_BTD = y_BDRC.flatten(2).transpose(1, 2) + self.d * x_BTD
        return functional.glu(self.out(functional.gelu(y_BTD)), -1), {}

    def kernels(self, length: int) -> list[Tensor]:
        """The kernels [D, length] down, up, right and left."""
        systems = [layer.system(length) for layer in self.axes if isinstance(layer, S4DLayer)]
        return [vandermonde(system.weight_HN, system.log_a_HN, length) for system in systems]


def along(x_BDRC: Tensor, ahead_DK: Tensor, back_DK: Tensor) -> Tensor:
    """Convolve the last axis with one kernel from the left and one from the right."""
    batch, width, rows, columns = x_BDRC.shape
    flat = x_BDRC.permute(0, 2, 1, 3).reshape(batch * rows, width, columns)
    left, _ = long_conv(flat, ahead_DK.to(flat.dtype))
    right, _ = long_conv(flat.flip(2).contiguous(), back_DK.to(flat.dtype))
    return (left + right.flip(2)).view(batch, rows, width, columns).transpose(1, 2)
