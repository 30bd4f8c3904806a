"""Are recurrent layers torch's and FlashRNN's on the same weights, and Jordan's and Aaren's those of their papers?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor, nn

from harness.models.sequence._mixer import Site
from harness.models.sequence._recurrent import HeadwiseRNN
from harness.models.sequence.aaren import Aaren, QueryAttention
from harness.models.sequence.elman import Elman
from harness.models.sequence.flashrnn import FlashRNN
from harness.models.sequence.gru import GRU
from harness.models.sequence.jordan import Jordan, JordanLayer
from harness.models.sequence.lstm import LSTM, PeepholeLSTM
from harness.models.sequence.slstm import SLSTM

WIDTH, LENGTH = 12, 23
Array = NDArray[Any]


def array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def inputs(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, LENGTH, WIDTH, dtype=dtype)


@pytest.mark.parametrize(("model", "layer"), [(LSTM(), nn.LSTM), (Elman(), nn.RNN)])
def test_lstm_and_elman_are_torchs_own(
    largest: Callable[[Any, Any], float], model: LSTM | Elman, layer: type[nn.RNNBase]
) -> None:
    made = model.mixer(Site(WIDTH)).double()
    assert isinstance(made, HeadwiseRNN)
    theirs = layer(WIDTH, WIDTH, batch_first=True).double()
    held = dict(theirs.named_parameters())
    held["weight_ih_l0"].copy_(made.project.flatten(0, 2))
    held["weight_hh_l0"].copy_(made.recurrent.flatten(0, 2))
    held["bias_ih_l0"].copy_(made.bias.flatten())
    held["bias_hh_l0"].zero_()
    x = inputs()
    assert largest(made(x)[0], theirs(x)[0]) < 1e-12


def test_gru_is_torchs_own(largest: Callable[[Any, Any], float]) -> None:
    made = GRU().mixer(Site(WIDTH)).double()
    assert isinstance(made, HeadwiseRNN)
    theirs = nn.GRU(WIDTH, WIDTH, batch_first=True).double()
    theirs.weight_ih_l0.copy_(made.project.flatten(0, 2))
    # ours are g, r, z and with biases n; torch's r, z, n, each with a bias on either side
    ours = made.bias[:, 0]
    theirs.weight_hh_l0.copy_(made.recurrent[[1, 2, 0], 0].flatten(0, 1))
    theirs.bias_ih_l0.copy_(torch.cat([ours[1], ours[2], ours[3]]))
    theirs.bias_hh_l0.copy_(torch.cat([0 * ours[1], 0 * ours[2], ours[0]]))
    x = inputs()
    assert largest(made(x)[0], theirs(x)[0]) < 1e-12


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru", "slstm"])
def test_heads_are_flashrnns(largest: Callable[[Any, Any], float], cell: Any, heads: int) -> None:
    vanilla = pytest.importorskip("flashrnn.flashrnn.vanilla", reason="oracles extra is not installed")
    made = FlashRNN(cell=cell, heads=heads).mixer(Site(WIDTH)).double()
    assert isinstance(made, HeadwiseRNN)
    if cell == "slstm":
        assert isinstance(SLSTM(heads=heads).mixer(Site(WIDTH)), HeadwiseRNN)
    x = inputs()
    projected = torch.einsum("bti,ghdi->tbghd", x, made.project)
    states, _ = vanilla.flashrnn_forward(
        projected,
        torch.zeros(1, 2, made.states, heads, WIDTH // heads, dtype=torch.float64),
        made.recurrent.permute(1, 3, 0, 2),
        made.bias,
        pointwise_forward=vanilla.flashrnn_pointwise_function_registry[cell],
        constants={},
    )
    assert largest(made(x)[0], states[:, :, 0].transpose(0, 1).flatten(2)) < 1e-12


def test_slstm_is_the_recurrence_of_its_paper_without_a_stabiliser(largest: Callable[[Any, Any], float]) -> None:
    made = SLSTM(heads=1).mixer(Site(WIDTH)).double()
    assert isinstance(made, HeadwiseRNN)
    x, project, recurrent, bias = inputs()[:1], array(made.project)[:, 0], array(made.recurrent)[:, 0], array(made.bias)
    h, c, n, outputs = np.zeros(WIDTH), np.zeros(WIDTH), np.zeros(WIDTH), []
    for x_D in array(x)[0]:
        i, f, z, o = project @ x_D + recurrent @ h + bias[:, 0]
        keep, write = special.expit(f), np.exp(i)
        c, n = keep * c + write * np.tanh(z), keep * n + write
        h = special.expit(o) * c / n
        outputs.append(h)
    assert largest(made(x)[0][0], np.stack(outputs)) < 1e-12


def test_peepholes_are_those_of_gers_and_schmidhuber(largest: Callable[[Any, Any], float]) -> None:
    made = LSTM(peephole=True).mixer(Site(WIDTH)).double()
    assert isinstance(made, PeepholeLSTM)
    made.peep.normal_()
    x, weights, bias = inputs()[:1], array(made.project.weight), array(made.project.bias)
    recurrent, (p_i, p_f, p_o) = array(made.recurrent.weight), array(made.peep)
    h, c, outputs = np.zeros(WIDTH), np.zeros(WIDTH), []
    for x_D in array(x)[0]:
        i, f, z, o = np.split(weights @ x_D + recurrent @ h + bias, 4)
        c = special.expit(f + p_f * c) * c + special.expit(i + p_i * c) * np.tanh(z)
        h = special.expit(o + p_o * c) * np.tanh(c)
        outputs.append(h)
    assert largest(made(x)[0][0], np.stack(outputs)) < 1e-12


def test_jordan_feeds_back_its_outputs_after_their_nonlinearity(largest: Callable[[Any, Any], float]) -> None:
    made = Jordan(outputs=5).mixer(Site(WIDTH)).double()
    assert isinstance(made, JordanLayer)
    x, y, answers = inputs()[:1], np.zeros(5), []
    for x_D in array(x)[0]:
        h = np.tanh(array(made.project.weight) @ x_D + array(made.project.bias) + array(made.feed.weight) @ y)
        y = special.expit(array(made.read.weight) @ h + array(made.read.bias))
        answers.append(array(made.out.weight) @ y + array(made.out.bias))
    assert largest(made(x)[0][0], np.stack(answers)) < 1e-12


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_aaren_is_the_recurrence_over_prefixes_of_its_paper(largest: Callable[[Any, Any], float], scale: float) -> None:
    made = Aaren(heads=3).mixer(Site(WIDTH)).double()
    assert isinstance(made, QueryAttention)
    made.query.mul_(scale)
    x, size = inputs()[:1], WIDTH // 3
    keys, values = np.split(array(x)[0] @ array(made.keys_values.weight).T, 2, axis=1)
    answers = np.zeros((LENGTH, WIDTH))
    for head in range(3):
        part = slice(head * size, (head + 1) * size)
        peak, mass, total = -np.inf, 0.0, np.zeros(size)
        for t in range(LENGTH):
            score = float(array(made.query)[head] @ keys[t, part]) / np.sqrt(size)
            higher = max(peak, score)
            mass = mass * np.exp(peak - higher) + np.exp(score - higher)
            total = total * np.exp(peak - higher) + values[t, part] * np.exp(score - higher)
            peak, answers[t, part] = higher, total / mass
    assert largest(made(x)[0][0], answers @ array(made.out.weight).T) < 1e-11
