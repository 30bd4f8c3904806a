"""How fast torch's own recurrent layers are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.kernels._stopwatch import Stopwatch, threads


@model(doors=("measure",), paper="none", licence="Apache-2.0", differs="none")
class TorchNn:
    """torch.nn's LSTM and GRU of one head on projected inputs (`case=lstm projected`, `gru projected`).

    Differs from the paper: none.
    """

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Threads; its code is in the signature already."""
        return threads()

    def load(self, setting: Setting) -> Stopwatch:
        """Nothing to load."""
        return Stopwatch("torch_nn", setting, {"fused_rnn": fused_rnn})


def fused_rnn(
    x: torch.Tensor,
    recurrent_KHDE: torch.Tensor,
    bias_JHD: torch.Tensor,
    start_SBHD: torch.Tensor,
    project_GHDI: torch.Tensor | None,
    cell: str,
) -> Any:
    """What the layers call; their second bias is zero, and GRU's gates are (r, z, n)."""
    if project_GHDI is None or cell not in ("lstm", "gru") or bias_JHD.shape[1] != 1:
        raise UsageError("kernels/torch_nn: torch's layers are an LSTM or GRU of one head that project their input.")
    states = [state.contiguous() for state in start_SBHD.transpose(1, 2).unbind()]
    none = torch.zeros_like(bias_JHD[0])
    if cell == "lstm":
        second = torch.zeros_like(bias_JHD).flatten()
        weights = [project_GHDI.flatten(0, 2), recurrent_KHDE.flatten(0, 2), bias_JHD.flatten(), second]
        y_BTD, h, c = torch.lstm(x, states, weights, True, 1, 0.0, True, False, True)
        return y_BTD.unsqueeze(2), torch.stack((h, c)).transpose(1, 2)
    inner = torch.cat((none, none, bias_JHD[0]), 1).flatten()
    weights = [project_GHDI.flatten(0, 2), recurrent_KHDE[[1, 2, 0]].flatten(0, 2), bias_JHD[1:].flatten(), inner]
    y_BTD, h = torch.gru(x, states[0], weights, True, 1, 0.0, True, False, True)
    return y_BTD.unsqueeze(2), h[None].transpose(1, 2)
