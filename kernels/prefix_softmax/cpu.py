"""How a prefix softmax is fast on a CPU: as the running mean of `_mean.py`, by the chunked linear scan."""

from __future__ import annotations

import torch

from harness.kernels.linear_scan.cpu import linear_scan
from harness.kernels.prefix_softmax._mean import running_mean
from harness.kernels.prefix_softmax.reference import State


def prefix_softmax(
    score_BHT: torch.Tensor, v_BHTV: torch.Tensor, state: State | None = None
) -> tuple[torch.Tensor, State]:
    """The prefix softmax of `reference.py` in O(T) work (once differentiable)."""
    return running_mean(linear_scan, score_BHT, v_BHTV, state)
