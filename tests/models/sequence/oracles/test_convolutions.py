"""Are Hyena, TCN, TCNCA and MEGA what their papers' equations and other people's layers make of the same weights?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from harness.models.sequence._gated_chunks import GatedChunkAttention
from harness.models.sequence._mixer import Site
from harness.models.sequence.hyena import Hyena, HyenaOperator
from harness.models.sequence.mega import Mega, MovingAverageAttention
from harness.models.sequence.tcn import TCN, TemporalConvolutions
from harness.models.sequence.tcnca import TCNCA, ConvolvedChunkAttention

WIDTH = 8
Array = NDArray[Any]


def array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def hyenas_filters(made: HyenaOperator) -> Array:
    """[D of every filter in turn, L]: sin(w z) layers of (t, Re z, Im z), under exp(-t |delta|)."""
    t = np.linspace(0, 1, made.length)
    z = np.exp(-1j * 1e-4 * 2 * np.pi * np.arange(made.length) / made.length)
    hidden = np.stack([t, z.real, z.imag])
    *inner, last = [layer for layer in made.layers if isinstance(layer, nn.Linear)]
    for layer in inner:
        hidden = np.sin(array(made.frequency)[:, None] * (array(layer.weight) @ hidden + array(layer.bias)[:, None]))
    deltas = np.linspace(np.log(1e-2) / 1.5, np.log(1e-2) / 0.3, (made.order - 1) * made.width)
    return array(last.weight) @ hidden * np.exp(-t * np.abs(deltas)[:, None])


@pytest.mark.parametrize("order", [2, 3, 4])
def test_hyena_is_the_recurrence_of_gates_and_long_filters_of_its_paper(
    largest: Callable[[Any, Any], float], order: int
) -> None:
    length = 19
    made = Hyena(order=order, hidden=16).mixer(Site(WIDTH, length=length)).double()
    assert isinstance(made, HyenaOperator)
    x = torch.randn(1, length, WIDTH, dtype=torch.float64)
    projected = array(x[0]) @ array(made.project.weight).T + array(made.project.bias)
    taps, bias = array(made.short.weight), array(made.short.bias)
    mixed = np.stack([np.convolve(taps[c], projected[:, c])[:length] + bias[c] for c in range(len(taps))])
    *gates, v = np.split(mixed, order + 1)
    filters = np.split(hyenas_filters(made), order - 1)
    for index, gate in enumerate(gates[:0:-1]):
        gated = gate * v
        convolved = [np.convolve(filters[index][d], gated[d])[:length] for d in range(WIDTH)]
        v = np.stack(convolved) + array(made.skip)[index][:, None] * gated
    expected = (v * gates[0]).T @ array(made.out.weight).T + array(made.out.bias)
    # their network is drawn in float32, whose window differs in the eighth digit
    assert largest(made(x)[0][0], expected) < 1e-7


def test_a_tcn_is_a_stack_of_pytorch_tcns_convolutions_under_torchs_weight_norm(
    largest: Callable[[Any, Any], float],
) -> None:
    conv = pytest.importorskip("pytorch_tcn", reason="oracles extra is not installed").TemporalConv1d
    made = TCN(taps=3, levels=3).mixer(Site(WIDTH)).double()
    assert isinstance(made, TemporalConvolutions)
    assert made.stack.gains is not None
    x = torch.randn(2, 40, WIDTH, dtype=torch.float64)
    y = x.mT
    for layer, dilation in enumerate((1, 1, 2, 2, 4, 4)):
        theirs = weight_norm(conv(WIDTH, WIDTH, 3, dilation=dilation).double())
        made.stack.gains[layer].add_(torch.rand(WIDTH))
        # their taps go from the oldest input to the newest
        theirs.parametrizations.weight.original0.copy_(made.stack.gains[layer][:, None, None])
        theirs.parametrizations.weight.original1.copy_(made.stack.weights[layer].flip(2))
        theirs.bias.copy_(made.stack.biases[layer])
        y = functional.relu(theirs(y))
    assert largest(made(x)[0], y.mT) < 1e-12


def moving_average(made: MovingAverageAttention, x_BTD: Tensor) -> Tensor:
    """Equations 1 to 4 of MEGA, one step at a time."""
    alpha, delta = special.expit(array(made.delta)), special.expit(array(made.alpha))
    x, held, outputs = array(x_BTD), 0.0, []
    for time in range(x.shape[1]):
        held = alpha * array(made.beta) * x[:, time, :, None] + (1 - alpha * delta) * held
        outputs.append((array(made.gamma) * held).sum(-1) / np.sqrt(alpha.shape[1]) + array(made.omega) * x[:, time])
    return torch.from_numpy(np.stack(outputs, 1))


def published_unit(made: GatedChunkAttention, context: nn.Module) -> Any:
    """mega-pytorch's layer with these weights over this context; keys as wide as tokens, since it scales by the latter.

    Its biases by distance are one a step up to 15 steps, multiplied by the root of the keys' width.
    """
    layer = pytest.importorskip("mega_pytorch", reason="oracles extra is not installed").MegaLayer
    width, values = made.value.in_features, made.value.out_features
    theirs = layer(dim=width, ema_heads=1, attn_dim_qk=width, attn_dim_value=values).double()
    theirs.multi_headed_ema = context
    update, shared, reset, hidden = (
        (weight, bias)
        for weight, bias in zip(made.base.weight.split(made.sizes), made.base.bias.split(made.sizes), strict=True)
    )
    attention = theirs.single_headed_attn
    maps = [theirs.to_update_gate[0], attention.to_qk[0], theirs.to_reset_gate[0], attention.to_v[0]]
    for linear, (weight, bias) in zip(maps, [update, shared, reset, (made.value.weight, made.value.bias)], strict=True):
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    theirs.Wh.copy_(hidden[0].T)
    theirs.bh.copy_(hidden[1])
    theirs.Uh.copy_(made.hidden.weight.T)
    attention.offsetscale.gamma.copy_(made.gamma)
    attention.offsetscale.beta.copy_(made.beta)
    attention.rel_pos_bias.relative_attention_bias.weight[: len(made.bias)] = made.bias[:, None] / width**0.5
    return theirs


class Computed(nn.Module):
    """The context of one input, computed before."""

    def __init__(self, context: Tensor) -> None:
        super().__init__()
        self.context = context

    def forward(self, x: Tensor) -> Tensor:
        return self.context


def louder(unit: GatedChunkAttention) -> None:
    """At the published start every score is nearly equal; drawn weights show all parts."""
    for parameter in unit.parameters():
        parameter.normal_(std=0.7)


def test_mega_is_its_papers_average_under_mega_pytorchs_gated_attention(largest: Callable[[Any, Any], float]) -> None:
    made = Mega(averages=3, keys=WIDTH, chunk=14).mixer(Site(WIDTH)).double()
    assert isinstance(made, MovingAverageAttention)
    louder(made.attention)
    x = torch.randn(2, 14, WIDTH, dtype=torch.float64)
    theirs = published_unit(made.attention, Computed(functional.silu(moving_average(made, x))))
    # the layer mixes with its residual; ours is handed on beside it
    assert largest(made(x)[0], theirs(x) - x) < 1e-12


def test_tcnca_is_torchs_dilated_convolution_under_mega_pytorchs_gated_attention(
    largest: Callable[[Any, Any], float],
) -> None:
    made = TCNCA(taps=3, levels=2, base=3, keys=WIDTH, chunk=14).mixer(Site(WIDTH)).double()
    assert isinstance(made, ConvolvedChunkAttention)
    louder(made.attention)
    x = torch.randn(2, 14, WIDTH, dtype=torch.float64)
    y = x.mT
    for layer, dilation in enumerate((1, 3)):
        weight, bias = made.stack.weights[layer].flip(1)[:, None], made.stack.biases[layer]
        y = functional.conv1d(functional.pad(y, (2 * dilation, 0)), weight, bias, dilation=dilation, groups=WIDTH)
    theirs = published_unit(made.attention, Computed(functional.silu(x + y.mT)))
    assert largest(made(x)[0], theirs(x) - x) < 1e-12


def test_megas_answer_is_the_gated_step_from_its_input() -> None:
    # y = silu(0) = 0 with all maps at 0 and the gate half open, so that half of the input is taken away
    unit = GatedChunkAttention(2, 3, 4, 5).double()
    for parameter in unit.parameters():
        parameter.zero_()
    x = torch.tensor([[[4.0, -2.0]]], dtype=torch.float64)
    assert unit(x, x, unit.start(1, x.device, x.dtype))[0].tolist() == [[[-2.0, 1.0]]]


def test_mega_starts_with_the_published_spread() -> None:
    unit = GatedChunkAttention(64, 16, 128, 4000)
    for weight in (unit.value.weight, unit.base.weight, unit.hidden.weight, unit.bias):
        assert float(weight.std()) == pytest.approx(0.02, rel=0.05)
    assert float(unit.value.bias.abs().max()) == float(unit.base.bias.abs().max()) == 0.0
