"""How fast a scan is that doubles its reach each round, under autograd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.kernels._stopwatch import Stopwatch, threads


@model(doors=("measure",), paper="none", licence="Apache-2.0", differs="none")
class DoublingScan:
    """Hillis and Steele's scan: log2 T rounds over the whole sequence.

    Differs from the paper: none.
    """

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Threads; its code is in the signature already."""
        return threads()

    def load(self, setting: Setting) -> Stopwatch:
        """Nothing to load."""
        return Stopwatch("doubling_scan", setting, {"linear_scan": linear_scan})


def linear_scan(gate_BTN: torch.Tensor, x_BTN: torch.Tensor, start_BN: torch.Tensor | None) -> Any:
    """After round r, every step holds what the 2^r steps before it came to."""
    if not x_BTN.shape[1]:
        raise UsageError("kernels/doubling_scan: a sequence of no steps has nothing to time.")
    h, gate = x_BTN, gate_BTN
    if start_BN is not None:
        h = torch.cat((x_BTN[:, :1] + gate_BTN[:, :1] * start_BN[:, None], x_BTN[:, 1:]), 1)
    step = 1
    while step < h.shape[1]:
        h = torch.cat((h[:, :step], h[:, step:] + gate[:, step:] * h[:, :-step]), 1)
        gate = torch.cat((gate[:, :step], gate[:, step:] * gate[:, :-step]), 1)
        step *= 2
    return h, h[:, -1]
