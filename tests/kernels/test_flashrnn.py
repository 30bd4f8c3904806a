"""Recurrent networks against FlashRNN's own plain form, whose gates and states are in our order (extra [peers])."""

import pytest
import torch

from harness.kernels._contract import TOLERANCE, relative_error
from harness.kernels._dispatch import operation
from harness.kernels.fused_rnn.reference import inputs

fused_rnn = operation("fused_rnn")


@pytest.mark.parametrize("path", ["reference", "cpu"])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru", "slstm"])
def test_heads_equal_those_of_flashrnn(cell: str, path: str) -> None:
    vanilla = pytest.importorskip("flashrnn.flashrnn.vanilla", reason="extra [peers]")
    made = inputs({"B": 3, "T": 9, "H": 2, "D": 5}, seed=0, case=cell)
    x, recurrent, bias = (made[name].float().requires_grad_() for name in ("x", "recurrent_KHDE", "bias_JHD"))
    start = torch.zeros_like(made["start_SBHD"], dtype=torch.float32)
    ours, _ = fused_rnn(x, recurrent, bias, None, cell=cell, path=path)
    # theirs takes time first, states [1, B, S, H, D], and weights [H, in, G, out]
    states_TBSHD, _ = vanilla.flashrnn_forward(
        x.transpose(0, 1), start.permute(1, 0, 2, 3)[None], recurrent.permute(1, 3, 0, 2), bias,
        pointwise_forward=vanilla.flashrnn_pointwise_function_registry[cell], constants={},
    )  # fmt: skip
    theirs = states_TBSHD[:, :, 0].transpose(0, 1)
    assert relative_error(ours, theirs) <= TOLERANCE[torch.float32]
    leaves = [x, recurrent, bias]
    got, expected = (torch.autograd.grad(output.square().sum(), leaves) for output in (ours, theirs))
    assert max(map(relative_error, got, expected)) <= TOLERANCE[torch.float32]
