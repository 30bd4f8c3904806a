"""How fast a causal convolution is as a sum of shifted copies, under autograd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.kernels._stopwatch import Stopwatch, threads


@model(doors=("measure",), paper="none", licence="Apache-2.0", differs="none")
class ShiftedSums:
    """One shifted copy of the sequence for each tap.

    Differs from the paper: none.
    """

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Threads; its code is in the signature already."""
        return threads()

    def load(self, setting: Setting) -> Stopwatch:
        """Nothing to load."""
        return Stopwatch("shifted_sums", setting, {"causal_conv": causal_conv})


def causal_conv(
    x_BCT: torch.Tensor, weight: torch.Tensor, bias_O: torch.Tensor, past_BCP: torch.Tensor | None, dilation: int
) -> Any:
    """Depthwise alone."""
    if weight.ndim != 2:
        raise UsageError("kernels/shifted_sums: only a depthwise convolution; take the case 'depthwise'.")
    span, length = (weight.shape[1] - 1) * dilation, x_BCT.shape[2]
    past = x_BCT.new_zeros(*x_BCT.shape[:2], span) if past_BCP is None else past_BCP
    all_BCT = torch.cat((past, x_BCT), 2)
    y_BCT = bias_O[:, None].expand_as(x_BCT)
    for tap in range(weight.shape[1]):
        begin = span - tap * dilation
        y_BCT = y_BCT + weight[:, tap : tap + 1] * all_BCT[..., begin : begin + length]
    return y_BCT, all_BCT[..., length:]
