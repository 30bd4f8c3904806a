"""What becomes of weights that are stored in eight bits? Row by row, 127 steps up to the row's largest entry."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def quantise(weight_RD: Tensor) -> tuple[Tensor, Tensor]:
    """WQ = round(127 W / s) as int8, and the rows' scales s_i = max_j |W_ij| (Wu et al. 2016, equation 13)."""
    scale_R = weight_RD.abs().amax(1)
    steps_RD = torch.round(127.0 * weight_RD / torch.where(scale_R > 0, scale_R, 1.0)[:, None])
    return steps_RD.to(torch.int8), scale_R


def dequantise(steps_RD: Tensor, scale_R: Tensor) -> Tensor:
    """W' = WQ s / 127; |W' - W| <= s_i / 254."""
    return steps_RD.to(scale_R.dtype) * scale_R[:, None] / 127.0


@torch.no_grad()
def round_weights(network: nn.Module) -> float:
    """Put every matrix of the network on its int8 grid; biases stay. Returns the largest change of a weight.

    Arithmetic stays in float32, so that this measures what eight bits cost in quality, not what they save in time.
    """
    largest = 0.0
    for parameter in network.parameters():
        if parameter.ndim == 2:
            rounded = dequantise(*quantise(parameter))
            largest = max(largest, float((rounded - parameter).abs().max()))
            parameter.copy_(rounded)
    return largest
