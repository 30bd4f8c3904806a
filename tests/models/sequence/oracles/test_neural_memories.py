"""Are all forms of Titans the equations of its paper, with each gradient taken by autograd, and fla's delta rule?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad
from torch.nn import functional

from harness.models.sequence._mixer import Site
from harness.models.sequence._neural_memory import NeuralMemory
from harness.models.sequence.titans import Form, MemoryAsContext, MemoryBesideAttention, MemoryLayer, Titans

# T time, D width, E head size, P learned tokens
WIDTH, HEADS, LENGTH = 8, 2, 14


def form(name: Form, **choices: int) -> Any:
    made = Titans(form=name, heads=HEADS, limit=0.0, persistent=3, **choices).mixer(Site(WIDTH)).double()
    for parameter in made.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def normed(y: Tensor, weight: Tensor) -> Tensor:
    return y * (y.square().mean(-1, keepdim=True) + 1e-6) ** -0.5 * weight


def answer(weights: list[Tensor], x: Tensor) -> Tensor:
    """A multilayer perceptron without biases."""
    for layer, weight in enumerate(weights):
        x = (x * torch.sigmoid(x) if layer else x) @ weight
    return x


class Memory:
    """M_t = (1 - alpha) M_{t-1} + S_t, S_t = eta S_{t-1} - theta grad at the weights of the chunk's start."""

    def __init__(self, made: MemoryLayer) -> None:
        self.made, self.steps, self.past = made, 0, torch.zeros(0, 3 * WIDTH, dtype=torch.float64)
        self.weights = [[first[head].clone() for first in made.network.first] for head in range(HEADS)]
        self.began = [list(weights) for weights in self.weights]
        self.momenta = [[torch.zeros_like(weight) for weight in weights] for weights in self.weights]

    def shaped(self, x_TD: Tensor) -> list[Tensor]:
        """q, k, v [T, H, E]: taps over the tokens before, SiLU, unit length."""
        past = torch.cat([self.past, x_TD @ self.made.project.weight.T])
        taps, rows = self.made.conv.weight, []
        for time in range(len(self.past), len(past)):
            lags = [past[time - lag] * taps[:, lag] for lag in range(taps.shape[1]) if lag <= time]
            rows.append(torch.stack(lags).sum(0) + self.made.conv.bias)
        q, k, v = (functional.silu(part).unflatten(-1, (HEADS, -1)) for part in torch.stack(rows).chunk(3, -1))
        return [q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True), v]

    def recalled(self, x_TD: Tensor) -> Tensor:
        """What the weights of the chunk's start answer."""
        q, _, _ = self.shaped(x_TD)
        return self.left(x_TD, torch.cat([answer(self.began[head], q[:, head]) for head in range(HEADS)], -1))

    def __call__(self, x_TD: Tensor) -> Tensor:
        q, k, v = self.shaped(x_TD)
        self.past = torch.cat([self.past, x_TD @ self.made.project.weight.T])
        rates = torch.sigmoid(x_TD @ self.made.rates.weight.T + self.made.rates.bias).unflatten(-1, (3, HEADS))
        answers = torch.zeros(len(x_TD), HEADS, WIDTH // HEADS, dtype=torch.float64)
        for time in range(len(x_TD)):
            for head in range(HEADS):
                theta, eta, alpha = rates[time, :, head]
                with torch.enable_grad():
                    slopes = grad(lambda w, t=time, h=head: (answer(w, k[t, h]) - v[t, h]).square().sum())(
                        self.began[head]
                    )
                held = zip(self.momenta[head], slopes, strict=True)
                self.momenta[head] = [eta * before - self.made.rate * theta * slope for before, slope in held]
                kept = zip(self.weights[head], self.momenta[head], strict=True)
                self.weights[head] = [(1 - alpha) * weight + step for weight, step in kept]
                answers[time, head] = answer(self.weights[head], q[time, head])
            self.steps += 1
            if self.steps % self.made.network.chunk == 0:
                self.began = [list(weights) for weights in self.weights]
        return self.left(x_TD, answers.flatten(1))

    def left(self, x_TD: Tensor, y_TD: Tensor) -> Tensor:
        gated = normed(y_TD, self.made.norm.weight) * functional.silu(x_TD @ self.made.gate.weight.T)
        return gated @ self.made.out.weight.T


def turned(x_TE: Tensor, start: int = 0) -> Tensor:
    """Rotary positions: (i, i + E/2) as a complex number, turned by time * 10000^(-2i/E)."""
    half = x_TE.shape[-1] // 2
    speed = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.outer(torch.arange(start, start + len(x_TE), dtype=torch.float64), speed)
    spun = torch.complex(x_TE[:, :half], x_TE[:, half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([spun.real, spun.imag], -1)


def attended(q_TE: Tensor, k_SE: Tensor, v_SE: Tensor, sees: Callable[[int, int], bool]) -> Tensor:
    """One head's softmax over the keys that a query sees."""
    rows = []
    for time, q in enumerate(q_TE):
        seen = [place for place in range(len(k_SE)) if sees(time, place)]
        rows.append(torch.softmax(k_SE[seen] @ q / q_TE.shape[1] ** 0.5, 0) @ v_SE[seen])
    return torch.stack(rows)


def windowed(made: Any, x_TD: Tensor, window: int, leading: int) -> Tensor:
    parts = (x_TD @ made.project.weight.T).unflatten(-1, (3, HEADS, -1))
    heads = []
    for head in range(HEADS):
        q, k, v = parts[:, :, head].unbind(1)
        near = attended(turned(q), turned(k), v, lambda t, s: s <= t and (t - s < window or s < leading))
        heads.append(near)
    return torch.cat(heads, -1) @ made.out.weight.T


def tokens() -> Tensor:
    return torch.randn(1, LENGTH, WIDTH, dtype=torch.float64)


@pytest.mark.parametrize(("depth", "chunk"), [(1, 1), (1, 4), (2, 4), (2, 20)])
def test_the_memory_alone_is_its_papers_rule(largest: Callable[[Any, Any], float], depth: int, chunk: int) -> None:
    made, x = form("memory", memory_depth=depth, chunk=chunk), tokens()
    assert isinstance(made, MemoryLayer)
    assert largest(made(x)[0][0], Memory(made)(x[0])) < 1e-12


def test_memory_as_gate_is_a_prefixed_window_times_a_memory_of_the_same_tokens(
    largest: Callable[[Any, Any], float],
) -> None:
    made, x = form("gate", window=5, chunk=4), tokens()
    assert isinstance(made, MemoryBesideAttention)
    assert made.norms is not None
    whole = torch.cat([made.learned, x[0]])
    near, far = windowed(made.window, whole, 5, leading=3), Memory(made.memory)(whole)
    expected = functional.silu(normed(near, made.norms[0].weight) * normed(far, made.norms[1].weight))
    assert largest(made(x)[0][0], expected[3:]) < 1e-12


def test_memory_as_layer_is_a_window_over_the_memorys_answers_alone(largest: Callable[[Any, Any], float]) -> None:
    made, x = form("layer", window=5, chunk=4), tokens()
    assert isinstance(made, MemoryBesideAttention)
    recalled = Memory(made.memory)(torch.cat([made.learned, x[0]]))
    assert largest(made(x)[0][0], windowed(made.window, recalled, 5, leading=0)[3:]) < 1e-12


def test_memory_as_context_is_a_segments_attention_to_learned_recalled_and_own_tokens(
    largest: Callable[[Any, Any], float],
) -> None:
    made, x = form("context", chunk=5), tokens()
    assert isinstance(made, MemoryAsContext)
    memory, answers = Memory(made.memory), []

    def sees(time: int, place: int) -> bool:
        # in an unfinished segment the keys are fewer
        return place < 3 or (place - 3) % len(segment) <= time

    for segment in x[0].split(5):
        seen, heads = [memory.recalled(segment), segment], []
        q = (segment @ made.query.weight.T).unflatten(-1, (HEADS, -1))
        pairs = [(part @ made.pair.weight.T).unflatten(-1, (2, HEADS, -1)) for part in seen]
        for head in range(HEADS):
            keys = torch.cat([made.learned[0, head], *(turned(pair[:, 0, head]) for pair in pairs)])
            values = torch.cat([made.learned[1, head], *(pair[:, 1, head] for pair in pairs)])
            heads.append(attended(turned(q[:, head]), keys, values, sees))
        y = torch.cat(heads, -1) @ made.out.weight.T
        answers.append(y * memory(y))
    assert largest(made(x)[0][0], torch.cat(answers)) < 1e-12


def test_a_linear_memory_without_momentum_is_flas_delta_rule(largest: Callable[[Any, Any], float]) -> None:
    naive = pytest.importorskip("fla.ops.delta_rule.naive", reason="peers extra is not installed")
    q, k, v = torch.randn(3, 1, HEADS, LENGTH, 4).unbind(0)
    k, beta = functional.normalize(k, dim=-1), torch.rand(1, HEADS, LENGTH)
    made = NeuralMemory(HEADS, 4, 1, 2, chunk=1)
    made.first[0].zero_()
    still = torch.zeros_like(beta)
    found, _ = made(q, k, v, (beta / 2, still, still), made.start(1, q.device, q.dtype))
    expected, _ = naive.delta_rule_recurrence(2.0 * q, k, v, beta)  # it divides queries by the root of 4
    assert largest(found, expected) < 1e-6
