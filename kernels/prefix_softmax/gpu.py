"""How a prefix softmax runs on a GPU: as the running mean of `_mean.py`, by the linear scan's Triton kernels."""

from __future__ import annotations

import torch

from harness.kernels.linear_scan.gpu import AHEAD, linear_scan
from harness.kernels.prefix_softmax._mean import running_mean
from harness.kernels.prefix_softmax.reference import State

__all__ = ["AHEAD", "prefix_softmax"]


def prefix_softmax(
    score_BHT: torch.Tensor, v_BHTV: torch.Tensor, state: State | None = None
) -> tuple[torch.Tensor, State]:
    """The prefix softmax of `reference.py`; both passes are single Triton kernels (once differentiable)."""
    return running_mean(linear_scan, score_BHT, v_BHTV, state)
