"""What stands around a diagonal state-space layer? GELU and a gated output map, with or without a reduced width."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models.sequence import _diagonal as diagonal
from harness.models.sequence._diagonal import Diagonal
from harness.models.sequence._mixer import Mixer, State

# B batch, T time, H channels, N state size

Gate = Literal["glu", "linear", "none"]


class DiagonalMixer(Mixer):
    """Abstract: a diagonal layer over `width` channels, then GELU and an output map (GLU by default, as in S4D)."""

    feedforward = False
    real = False  # real states

    def __init__(self, width: int, size: int, gate: Gate = "glu") -> None:
        super().__init__()
        self.width, self.size, self.gate = width, size, gate
        if gate != "none":
            self.out = nn.Linear(width, 2 * width if gate == "glu" else width)

    @abstractmethod
    def system(self, length: int) -> Diagonal:
        """The discretised layer; `length` matters only where a kernel is normalised over it."""

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros [B, H, N]."""
        return diagonal.empty(batch, self.width, self.size, device, dtype, self.real)

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Convolve; the state is computed when one was given, or outside training."""
        hand_on = state is not None or not self.training
        held = state["state"] if state else None
        y_BHT, after = diagonal.run(self.system(x_BTD.shape[1]), x_BTD.transpose(1, 2), held, hand_on)
        if after is None:
            return self._leave(y_BHT.transpose(1, 2)), {}
        return self._leave(y_BHT.transpose(1, 2)), {"state": after}

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """The recurrence."""
        y_BD, after = diagonal.step(self.system(1), x_BD, state["state"])
        return self._leave(y_BD), {"state": after}

    def _leave(self, y: Tensor) -> Tensor:
        if self.gate == "none":
            return y
        y = self.out(functional.gelu(y))
        return functional.glu(y, -1) if self.gate == "glu" else y
