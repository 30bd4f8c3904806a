"""How is each head normalised? Apart from the others, and then scaled by one weight a channel."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

# B batch, T time, H heads, E head size


@final
class HeadNorm(nn.Module):
    """(y - mean) / sqrt(var + eps) within a head, or y / sqrt(mean y^2 + eps) where it is not centred; no bias."""

    def __init__(self, heads: int, size: int, eps: float = 1e-5, *, centred: bool = True) -> None:
        super().__init__()
        self.eps, self.centred = eps, centred
        self.weight = nn.Parameter(torch.ones(heads, size))

    def forward(self, y_BTHE: Tensor) -> Tensor:
        """The same shape."""
        over = y_BTHE.shape[-1:]
        if self.centred:
            return functional.layer_norm(y_BTHE, over, eps=self.eps) * self.weight
        return functional.rms_norm(y_BTHE, over, eps=self.eps) * self.weight
