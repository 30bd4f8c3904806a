"""How do mixers blur a few steps together? A depthwise causal convolution with its own small state."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from harness.kernels._dispatch import operation

# B batch, T time, D width, P past steps

causal_conv = operation("causal_conv")


@final
class ShortConv(nn.Module):
    """Depthwise causal convolution over `taps` steps; its state is the last taps - 1 inputs. Starts as torch's does."""

    def __init__(self, width: int, taps: int = 4, bias: bool = True) -> None:
        super().__init__()
        bound = taps**-0.5
        self.weight = nn.Parameter(torch.empty(width, taps).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound)) if bias else None

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """No past: zeros [B, D, P]."""
        return torch.zeros(batch, self.weight.shape[0], self.weight.shape[1] - 1, device=device, dtype=dtype)

    def forward(self, x_BTD: Tensor, past_BDP: Tensor | None) -> tuple[Tensor, Tensor]:
        """Outputs [B, T, D] and the past to go on from."""
        past = None if past_BDP is None else past_BDP.to(x_BTD.dtype)
        y_BDT, after = causal_conv(x_BTD.transpose(1, 2), self.weight, self.bias, past)
        return y_BDT.transpose(1, 2), after.float() if after.dtype in (torch.bfloat16, torch.float16) else after
