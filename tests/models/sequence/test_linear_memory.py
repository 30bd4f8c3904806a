"""Are the attentions with a constant state what they stand for: prefix softmax, kernels, a gated matrix memory?"""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Site
from harness.models.sequence.aaren import Aaren, QueryAttention
from harness.models.sequence.linear_attention import LinearAttention
from harness.models.sequence.mlstm import MLSTM, MatrixLSTM
from harness.models.sequence.performer import (
    Performer,
    RandomFeatureAttention,
    log_features,
    orthogonal_features,
)

LENGTH = 30


def tokens(width: int = 8, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(2, LENGTH, width, dtype=torch.float64)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_aarens_scan_is_the_softmax_over_each_prefix(scale: float) -> None:
    made = Aaren(heads=2).mixer(Site(8)).double()
    assert isinstance(made, QueryAttention)
    x = tokens(scale=scale)
    k, v = made.keys_values(x).view(2, LENGTH, 2, 2, 4).unbind(2)
    score = torch.einsum("bthe,he->bth", k, made.query) / 2
    prefixes = [
        torch.einsum("bth,bthe->bhe", score[:, : time + 1].softmax(1), v[:, : time + 1]) for time in range(LENGTH)
    ]
    expected = made.out(torch.stack(prefixes, 1).flatten(2))
    assert float((made(x)[0] - expected).norm() / expected.norm()) < 1e-12


def test_aarens_last_answer_does_not_depend_on_the_order_of_the_past() -> None:
    made, x = Aaren(heads=2).mixer(Site(8)).double(), tokens()
    shuffled = x[:, torch.randperm(LENGTH)]
    assert torch.allclose(made(x)[0][:, -1], made(shuffled)[0][:, -1], atol=1e-12)


def test_linear_attention_is_attention_with_its_kernel() -> None:
    made, x = LinearAttention(heads=2).mixer(Site(8)).double(), tokens()
    q, k, v = (split_heads(part, 2) for part in made.project(x).chunk(3, -1))
    weight = ((functional.elu(q) + 1) @ (functional.elu(k) + 1).mT).tril()
    expected = made.out(join_heads(weight / weight.sum(-1, keepdim=True) @ v))
    assert torch.allclose(made(x)[0], expected, atol=1e-12)


def test_performer_is_attention_with_its_features() -> None:
    made, x = Performer(heads=2, features=6).mixer(Site(8)).double(), tokens()
    assert isinstance(made, RandomFeatureAttention)
    q, k, v = (split_heads(part, 2) for part in made.project(x).chunk(3, -1))
    weight = (log_features(q, made.omega_EM).exp() @ log_features(k, made.omega_EM).exp().mT).tril()
    expected = made.out(join_heads(weight / weight.sum(-1, keepdim=True) @ v))
    assert torch.allclose(made(x)[0], expected, atol=1e-10)


def test_performers_error_falls_as_one_over_the_root_of_its_features() -> None:
    # of longer vectors the error has a tail, exp(|q + k|^2 / 4), that 60 draws do not see
    q, k = (0.5 * torch.randn(2, 40, 16, dtype=torch.float64)).unbind(0)
    exact = torch.exp(q @ k.mT / 4)
    sizes, errors = (16, 64, 256, 1024), []
    for size in sizes:
        squares = []
        for _ in range(60):
            omega = orthogonal_features(16, size)
            estimate = log_features(q, omega).exp() @ log_features(k, omega).exp().mT / size
            squares.append(((estimate - exact) / exact).square().mean())
        errors.append(float(torch.stack(squares).mean().sqrt()))
    logs = torch.tensor([[math.log(a), math.log(b)] for a, b in zip(sizes, errors, strict=True)])
    centred = logs - logs.mean(0)
    slope = float((centred[:, 0] * centred[:, 1]).sum() / centred[:, 0].square().sum())
    assert slope == pytest.approx(-0.5, abs=0.15)


def memory(made: MatrixLSTM, x: torch.Tensor, stabilised: bool) -> torch.Tensor:
    """The cell's equations, step by step; without stabiliser as the paper first writes them."""
    q, k = (split_heads(part, made.heads) for part in made.query_key(x).chunk(2, -1))
    v = split_heads(made.value(x), made.heads)
    enter, forget = made.gates(x).transpose(1, 2).chunk(2, 1)
    keep, k = functional.logsigmoid(forget), k * made.keys**-0.5
    matrix, total = torch.zeros(*k.shape[:2], made.keys, made.values).to(x), torch.zeros_like(k[:, :, 0])
    peak, outputs = torch.full_like(enter[:, :, 0], -torch.inf if stabilised else 0.0), []
    for time in range(x.shape[1]):
        before = peak
        if stabilised:
            peak = torch.maximum(keep[:, :, time] + before, enter[:, :, time])
        write, hold = torch.exp(enter[:, :, time] - peak), torch.exp(keep[:, :, time] + before - peak)
        matrix = hold[..., None, None] * matrix + write[..., None, None] * k[:, :, time, :, None] * v[:, :, time, None]
        total = hold[..., None] * total + write[..., None] * k[:, :, time]
        weight = (q[:, :, time] * total).sum(-1).abs()
        outputs.append((q[:, :, time, None] @ matrix)[:, :, 0] / torch.maximum(weight, torch.exp(-peak))[..., None])
    y = torch.stack(outputs, 2)
    normed = made.norm(y.transpose(1, 2)).flatten(2)
    leave: torch.Tensor = made.out(torch.sigmoid(made.leave(x)) * normed)
    return leave


def cell(spread: float) -> MatrixLSTM:
    # a cap without effect, so that the gates are as large as they are drawn
    made = MLSTM(heads=2, cap=1e9, input_bias=0.0).mixer(Site(8)).double()
    assert isinstance(made, MatrixLSTM)
    made.gates.weight.normal_(std=spread)
    return made


def test_both_forms_of_the_matrix_memory_agree_while_the_exponentials_are_small() -> None:
    made, x = cell(0.3), tokens()
    found = made(x)[0]
    assert torch.allclose(found, memory(made, x, stabilised=True), atol=1e-7)
    assert torch.allclose(found, memory(made, x, stabilised=False), atol=1e-7)


def test_the_matrix_memory_stays_finite_where_the_unstabilised_form_overflows() -> None:
    made, x = cell(200.0), tokens()
    found = made(x)[0]
    assert bool(found.isfinite().all())
    assert torch.allclose(found, memory(made, x, stabilised=True), atol=1e-7)
    assert not bool(memory(made, x, stabilised=False).isfinite().all())
