"""Does Mamba-2 follow its equations, and does each remedy of Stuffed Mamba do what its name says?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from harness.api.errors import UsageError
from harness.models.sequence._mixer import Site
from harness.models.sequence.mamba2 import SSD, Mamba2

WIDTH, STATES, HEAD = 8, 4, 4


def block(dtype: torch.dtype = torch.float64, **choices: float | tuple[float, ...]) -> SSD:
    torch.manual_seed(0)
    made = Mamba2(states=STATES, head=HEAD, **choices).mixer(Site(WIDTH))  # type: ignore[arg-type]
    assert isinstance(made, SSD)
    return made.to(dtype).eval()


def tokens(length: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, length, WIDTH, dtype=dtype, generator=torch.Generator().manual_seed(1))


def loop(made: SSD, x: Tensor, *, retain: float = 1.0, insert: float = 1.0, window: int = 0) -> tuple[Tensor, Tensor]:
    """The equations, one token at a time; a window adds up the writes that it still holds."""
    heads, inner = made.heads, made.inner
    gate, mixed, dt = made.project(x).split([inner, inner + 2 * STATES, heads], -1)
    taps = made.conv.weight.shape[1]
    padded = functional.pad(mixed, (0, 0, taps - 1, 0))
    shifted = [padded[:, taps - 1 - j : padded.shape[1] - j] * made.conv.weight[:, j] for j in range(taps)]
    assert made.conv.bias is not None
    u, b, c = functional.silu(torch.stack(shifted).sum(0) + made.conv.bias).split([inner, STATES, STATES], -1)
    dt = functional.softplus(dt + made.dt_bias)
    fade = torch.exp(-dt * made.log_a.exp()) * retain
    u = u.unflatten(-1, (heads, HEAD))
    writes = torch.einsum("btn,bthp,bth->bthnp", insert * b, u, dt)
    outputs, held = [], torch.zeros_like(writes[:, 0])
    for time in range(x.shape[1]):
        held = torch.zeros_like(held)
        for wrote in range(max(0, time - window + 1) if window else 0, time + 1):
            held = held + writes[:, wrote] * fade[:, wrote + 1 : time + 1].prod(1)[..., None, None]
        outputs.append(torch.einsum("bn,bhnp->bhp", c[:, time], held) + made.d[:, None] * u[:, time])
    y = torch.stack(outputs, 1).flatten(2)
    return made.out(made.norm(y * functional.silu(gate))), held


def worst(left: Tensor, right: Tensor) -> float:
    return float((left - right).detach().abs().max())


@pytest.mark.parametrize(
    "choices", [{}, {"retain": 0.9, "insert": 0.75}, {"window": 3}, {"window": 5, "retain": 0.9}, {"window": 40}]
)
def test_a_loop_over_the_equations_gives_the_same_outputs_and_state(choices: dict[str, Any]) -> None:
    made, x = block(**choices), tokens(13)
    y, state = made(x)
    expected, held = loop(made, x, **choices)  # type: ignore[arg-type]
    assert worst(y, expected) < 1e-12
    assert worst(state["memory"], held) < 1e-12


@pytest.mark.parametrize("choices", [{"window": 5}, {"ceiling": (0.01,), "ceiling_every": 3}])
@pytest.mark.parametrize("chunk", [1, 4, 5, 6, 11])
def test_a_remedy_is_the_same_however_the_sequence_is_cut(choices: dict[str, Any], chunk: int) -> None:
    made, x = block(**choices), tokens(17)
    whole, last = made(x)
    state, parts = made.start(2, x.device, x.dtype), []
    for piece in x.split(chunk, 1):
        y, state = made(piece, state)
        parts.append(y)
    assert worst(torch.cat(parts, 1), whole) < 1e-12
    assert all(worst(state[name], last[name]) < 1e-12 for name in last)
    assert all(torch.equal(tensor, state[name]) for name, tensor in made(x[:, :0], state)[1].items())


@pytest.mark.parametrize("choices", [{"window": 1}, {"window": 7}])
def test_a_window_counts_its_own_state(choices: dict[str, Any], disagreement: Callable[..., float]) -> None:
    assert disagreement(block(**choices), WIDTH) < 1e-12


def test_a_window_as_long_as_the_sequence_is_no_window() -> None:
    x = tokens(13)
    assert worst(block(window=13)(x)[0], block()(x)[0]) < 1e-13
    assert worst(block(window=12)(x)[0][:, :12], block()(x)[0][:, :12]) < 1e-13
    assert worst(block(window=12)(x)[0], block()(x)[0]) > 1e-6


def test_a_token_that_left_the_window_is_forgotten_to_the_last_digit() -> None:
    made, x = block(window=6), tokens(40)
    changed = x.clone()
    changed[:, :10] += 3.0
    # the last of them is at 9, is still in the short convolution of 12 and leaves the window after 17
    assert worst(made(x)[0][:, 18:], made(changed)[0][:, 18:]) < 1e-12
    assert worst(made(x)[0][:, :17], made(changed)[0][:, :17]) > 1e-6


def test_in_single_precision_the_window_does_not_drift_over_twenty_thousand_steps() -> None:
    made, exact = block(torch.float32, window=64), block(window=64)
    for mixer in (made, exact):
        with torch.no_grad():
            # decays between 0.9999 and 0.999 a step
            mixer.log_a.fill_(math.log(0.01))
            mixer.dt_bias.fill_(math.log(math.expm1(0.01)))
    x = tokens(20_000)[:1]
    with torch.inference_mode():
        y, state = made(x.float())
        expected, held = exact(x)
    assert float((state["memory"] - held["memory"]).norm() / held["memory"].norm()) < 1e-3
    assert float((y - expected).norm() / expected.norm()) < 1e-3


def test_the_window_bounds_the_state_that_grows_without_it() -> None:
    made, windowed = block(retain=1.0), block(window=32)
    for mixer in (made, windowed):
        with torch.no_grad():
            mixer.log_a.fill_(math.log(1e-4))
            mixer.conv.weight.fill_(0.25)
    x = tokens(20).repeat(1, 100, 1)  # the same tokens again and again
    norms = {}
    for name, mixer in (("plain", made), ("window", windowed)):
        norms[name] = [float(mixer(x[:, :length])[1]["memory"].norm()) for length in (100, 2_000)]
    assert norms["plain"][1] > 5 * norms["plain"][0]
    assert norms["window"][1] < 1.5 * norms["window"][0]


def test_the_ceiling_bounds_the_norm_of_every_head() -> None:
    made, x = block(ceiling=(0.01,), ceiling_every=4), tokens(40)
    assert float(block()(x)[1]["memory"].flatten(2).norm(dim=-1).max()) > 0.02
    assert float(made(x)[1]["memory"].flatten(2).norm(dim=-1).max()) <= 0.01 + 1e-12


def test_each_head_has_its_own_ceiling_and_a_head_below_it_is_left_alone() -> None:
    x = tokens(40)
    plain = block()(x)[1]["memory"]
    norms = plain.flatten(2).norm(dim=-1)
    assert float(norms[:, [1, 3]].min()) > 0.02
    assert float(norms[:, [0, 2]].max()) < 0.01
    held = block(ceiling=(9.0, 0.02, 8.0, 0.01), ceiling_every=4)(x)[1]["memory"]
    # 40 steps end with a chunk, at which both of the larger heads had passed their numbers
    expected = torch.tensor([0.02, 0.01], dtype=torch.float64).expand(2, -1)
    assert worst(held.flatten(2).norm(dim=-1)[:, [1, 3]], expected) < 1e-12
    assert worst(held[:, [0, 2]], plain[:, [0, 2]]) < 1e-12


def test_one_ceiling_stands_for_all_heads() -> None:
    one, each = (block(ceiling=choice, ceiling_every=4) for choice in ((0.02,), (0.02,) * 4))
    assert torch.equal(one(tokens(40))[0], each(tokens(40))[0])


@pytest.mark.parametrize(
    "choices",
    [
        {"window": -1},
        {"window": 4, "ceiling": (1.0,)},
        {"retain": 0.0},
        {"insert": 0.0},
        {"ceiling": (0.0,)},
        {"ceiling": (1.0, 2.0)},
    ],
)
def test_choices_that_make_no_sense_are_refused(choices: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="mamba2 needs"):
        block(**choices)
