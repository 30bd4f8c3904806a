"""Recurrent networks against torch's own layers: the same weights give the same sequences and gradients."""

import pytest
import torch

from harness.api.errors import UsageError
from harness.kernels._contract import relative_error
from harness.kernels._dispatch import operation
from harness.kernels.fused_rnn.cpu import WIDE

fused_rnn = operation("fused_rnn")
LAYERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "elman": torch.nn.RNN}


def mapped(cell: str, layer: torch.nn.RNNBase, width: int) -> tuple[torch.Tensor, ...]:
    """Input weights [G, 1, D, I], recurrent weights [K, 1, D, D] and biases [J, 1, D] of a torch layer."""
    project = layer.weight_ih_l0.unflatten(0, (-1, 1, width))
    recurrent = layer.weight_hh_l0.unflatten(0, (-1, 1, width))
    b_x, b_h = (bias.unflatten(0, (-1, 1, width)) for bias in (layer.bias_ih_l0, layer.bias_hh_l0))
    if cell == "gru":
        # torch's gates are r, z, n; ours put the recurrent part of the candidate first
        return project, recurrent[[2, 0, 1]], torch.stack((b_h[2], b_x[0] + b_h[0], b_x[1] + b_h[1], b_x[2]))
    return project, recurrent, b_x + b_h


# a wide GRU takes another way than a narrow one
@pytest.mark.parametrize(
    ("cell", "width", "dtype"),
    [(cell, 7, dtype) for cell in LAYERS for dtype in (torch.float32, torch.float64)] + [("gru", WIDE, torch.float32)],
)
def test_one_head_equals_the_layer_of_torch(cell: str, width: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = LAYERS[cell](5, width, batch_first=True, dtype=dtype)
    x = torch.randn(3, 11, 5, dtype=dtype, requires_grad=True)
    theirs, _ = layer(x)
    project, recurrent, bias = mapped(cell, layer, width)
    for given in ((x, project), (torch.einsum("bti,ghdi->btghd", x, project), None)):
        ours, _ = fused_rnn(given[0], recurrent, bias, None, given[1], cell=cell)
        assert relative_error(ours[:, :, 0], theirs) < 1e-6
        weights = [x, *layer.parameters()]
        expected = torch.autograd.grad(theirs.square().sum(), weights, retain_graph=True)
        got = torch.autograd.grad(ours.square().sum(), weights, retain_graph=True)
        assert max(map(relative_error, got, expected)) < 1e-5


def test_heads_do_not_talk_to_each_other() -> None:
    torch.manual_seed(1)
    x, r, b = torch.randn(2, 9, 4, 3, 5), torch.randn(4, 3, 5, 5) / 4, torch.randn(4, 3, 5)
    whole, _ = fused_rnn(x, r, b, cell="slstm")
    for head in range(3):
        one = slice(head, head + 1)
        alone, _ = fused_rnn(x[:, :, :, one], r[:, one], b[:, one], cell="slstm")
        assert relative_error(alone, whole[:, :, one]) < 1e-6


def test_a_row_does_not_depend_on_its_company() -> None:
    torch.manual_seed(2)
    x, r, b = torch.randn(18, 9, 4, 2, 5), torch.randn(4, 2, 5, 5) / 4, torch.randn(4, 2, 5)
    whole, _ = fused_rnn(x, r, b, cell="slstm")
    assert relative_error(fused_rnn(x[:3], r, b, cell="slstm")[0], whole[:3]) < 1e-6


def test_an_unknown_cell_is_named_with_the_known_ones() -> None:
    x = torch.zeros(1, 1, 4, 1, 2)
    with pytest.raises(UsageError, match="no cell named 'lsmt'; choose one of elman, lstm, gru, slstm"):
        fused_rnn(x, torch.zeros(4, 1, 2, 2), torch.zeros(4, 1, 2), cell="lsmt")
