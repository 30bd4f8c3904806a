"""Is the neural memory the rule that its paper states, in every depth, chunk and place?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.func import grad

from harness.api.errors import UsageError
from harness.models.sequence._mixer import Site
from harness.models.sequence._neural_memory import NeuralMemory
from harness.models.sequence.titans import Form, MemoryLayer, Titans


def tokens(length: int = 12, heads: int = 2, size: int = 3) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(3, 1, heads, length, size, dtype=torch.float64).unbind(0))


def rates(length: int, theta: float, eta: float, alpha: float, heads: int = 2) -> tuple[torch.Tensor, ...]:
    return tuple(torch.full((1, heads, length), value, dtype=torch.float64) for value in (theta, eta, alpha))


def test_a_linear_memory_is_the_delta_rule() -> None:
    q, k, v = tokens()
    made = NeuralMemory(2, 3, 1, 2, chunk=1).double()
    found, _ = made(q, k, v, rates(12, 0.1, 0.0, 0.0), made.start(1, q.device, q.dtype))
    memory, expected = made.first[0][None].clone(), []
    for time in range(12):
        error = v[:, :, time] - (k[:, :, time, None] @ memory)[:, :, 0]
        memory = memory + 0.2 * k[:, :, time, :, None] * error[:, :, None]
        expected.append((q[:, :, time, None] @ memory)[:, :, 0])
    assert torch.allclose(found, torch.stack(expected, 2), atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_each_token_takes_the_gradient_of_its_loss_with_momentum_and_decay(depth: int) -> None:
    q, k, v = tokens(6)
    made = NeuralMemory(2, 3, depth, 2, chunk=1).double()
    found, _ = made(q, k, v, rates(6, 0.05, 0.7, 0.1), made.start(1, q.device, q.dtype))

    def answer(weights: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        for layer, weight in enumerate(weights):
            x = (torch.nn.functional.silu(x) if layer else x) @ weight
        return x

    for head in range(2):
        weights = [weight[head].clone() for weight in made.first]
        momenta = [torch.zeros_like(weight) for weight in weights]
        for time in range(6):
            with torch.enable_grad():
                slopes = grad(lambda w, t=time, h=head: (answer(w, k[0, h, t]) - v[0, h, t]).square().sum())(weights)
            momenta = [0.7 * held - 0.05 * slope for held, slope in zip(momenta, slopes, strict=True)]
            weights = [0.9 * weight + held for weight, held in zip(weights, momenta, strict=True)]
            assert torch.allclose(found[0, head, time], answer(weights, q[0, head, time]), atol=1e-12)


def test_gradients_frozen_at_zero_weights_make_linear_attention() -> None:
    q, k, v = tokens()
    made = NeuralMemory(2, 3, 1, 2, chunk=12).double()
    made.first[0].zero_()
    found, _ = made(q, k, v, rates(12, 0.5, 0.0, 0.0), made.start(1, q.device, q.dtype))
    assert torch.allclose(found, (q @ k.mT).tril() @ v, atol=1e-12)


@pytest.mark.parametrize("form", ["memory", "context", "gate", "layer"])
@pytest.mark.parametrize(("depth", "chunk"), [(1, 1), (2, 5)])
def test_every_form_by_steps_is_the_form_in_parallel(
    disagreement: Callable[..., float], form: Form, depth: int, chunk: int
) -> None:
    made = Titans(form=form, memory_depth=depth, chunk=chunk, window=4, heads=2).mixer(Site(8))
    assert disagreement(made, 8) < 1e-9


def test_the_state_is_three_copies_of_the_weights_whatever_the_length() -> None:
    made = Titans(heads=2, expand=2).mixer(Site(8))
    assert isinstance(made, MemoryLayer)
    weights = 2 * (4 * 8 + 8 * 4)
    assert made.state_bytes(10) == made.state_bytes(100_000) == 3 * 4 * weights + 8 + 4 * 3 * 8 * 3


@pytest.mark.parametrize("seed", range(4))
def test_a_fresh_memory_stays_bounded_where_every_token_is_the_same(seed: int) -> None:
    # all gradients of a chunk are taken at one point, so that on equal keys their steps add up
    torch.manual_seed(seed)
    layer = Titans(width=32).mixer(Site(32, 0, 2, 256))
    assert isinstance(layer, MemoryLayer)
    token = torch.nn.functional.rms_norm(torch.randn(1, 1, 32), (32,))
    answers: list[torch.Tensor] = []
    layer.norm.register_forward_pre_hook(lambda _, entered: answers.append(entered[0]))
    layer(token.expand(1, 256, 32))
    assert answers[0].abs().max() < 1.0


@pytest.mark.parametrize("depth", [1, 2])
def test_a_gradient_beyond_the_limit_is_shortened_and_one_within_is_not(depth: int) -> None:
    q, k, v = tokens()
    made = NeuralMemory(2, 3, depth, 2, chunk=1, limit=1.0).double()
    free = NeuralMemory(2, 3, depth, 2, chunk=1).double()
    free.load_state_dict(made.state_dict())
    longest = 2 * 3**0.5
    shortened = 0
    for (entered, error), (_, whole) in zip(
        *(one._gradients(k, v, one.start(1, q.device, q.dtype)) for one in (made, free)), strict=True
    ):
        norms, before = (entered.norm(dim=-1) * part.norm(dim=-1) for part in (error, whole))
        assert float((norms - before.clamp(max=longest)).abs().max()) < 1e-12
        assert (
            float((error * whole.norm(dim=-1, keepdim=True) - whole * error.norm(dim=-1, keepdim=True)).abs().max())
            < 1e-12
        )
        shortened += int((before > longest).sum())
    assert 0 < shortened < 24 * depth


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_memory_that_overshoots_grows_no_faster_than_its_limit(depth: int) -> None:
    # steps eight times too large for equal keys in one chunk: without a limit the weights are infinite at once
    q, k, v = (part[:, :, :1].expand(-1, -1, 400, -1) for part in tokens())
    k = torch.nn.functional.normalize(k, dim=-1)
    ends = []
    for limit in (float("inf"), 4.0):
        torch.manual_seed(0)
        made = NeuralMemory(2, 3, depth, 2, chunk=16, limit=limit).double()
        found, _ = made(q, k, v, rates(400, 0.5, 0.5, 0.1), made.start(1, q.device, q.dtype))
        ends.append(float(found.abs().max()))
    assert not ends[0] < 1e12
    assert ends[1] < 1e8


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(UsageError, match="limit=-1 must be positive"):
        Titans(limit=-1).mixer(Site(8))
