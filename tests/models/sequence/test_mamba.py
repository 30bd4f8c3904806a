"""Does the selective scan follow its equations, and a package written by others?"""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from harness.models.sequence._mixer import Site
from harness.models.sequence.mamba import Mamba, SelectiveScan


def block(width: int = 8) -> SelectiveScan:
    torch.manual_seed(0)
    made = Mamba(width=width, states=4).mixer(Site(width))
    assert isinstance(made, SelectiveScan)
    return made.double()


def test_steps_start_between_a_thousandth_and_a_tenth() -> None:
    step = functional.softplus(block(64).dt.bias)
    assert float(step.min()) >= 1e-3 * 0.999
    assert float(step.max()) <= 0.1 * 1.001


def test_the_poles_start_at_minus_one_to_minus_n() -> None:
    assert torch.allclose(block().log_a.exp()[0], torch.arange(1.0, 5.0, dtype=torch.float64), atol=1e-6)


def test_parameters_are_those_of_the_published_shape() -> None:
    made, d, e, n, r = block(32), 32, 64, 4, 2
    expected = d * 2 * e + (4 * e + e) + e * (r + 2 * n) + (r * e + e) + e * n + e + e * d
    assert sum(item.numel() for item in made.parameters()) == expected


def test_a_loop_over_the_equations_gives_the_same_outputs() -> None:
    made, x = block(), torch.randn(2, 11, 8, dtype=torch.float64)
    u, gate = made.project(x).chunk(2, -1)
    taps = made.conv.weight.shape[1]
    padded = functional.pad(u, (0, 0, taps - 1, 0))
    taken = sum(padded[:, taps - 1 - j : taps - 1 - j + 11] * made.conv.weight[:, j] for j in range(taps))
    u = functional.silu(taken + made.conv.bias)
    held, outputs = torch.zeros(2, 16, 4, dtype=torch.float64), []
    for time in range(11):
        low, b, c = made.select(u[:, time]).split([1, 4, 4], -1)
        dt = functional.softplus(made.dt(low))[..., None]
        held = torch.exp(-dt * made.log_a.exp()) * held + dt * u[:, time, :, None] * b[:, None]
        outputs.append((held * c[:, None]).sum(-1) + made.d * u[:, time])
    expected = made.out(torch.stack(outputs, 1) * functional.silu(gate))
    assert float((made(x)[0] - expected).abs().max()) < 1e-12


def test_it_is_the_block_of_mambapy() -> None:
    peer = pytest.importorskip("mambapy.mamba", reason="peers extra is not installed")
    config = peer.MambaConfig(d_model=8, n_layers=1, d_state=4, use_cuda=False)
    theirs = peer.MambaBlock(config).double()
    ours = block()
    with torch.no_grad():
        ours.project.weight.copy_(theirs.in_proj.weight)
        ours.conv.weight.copy_(theirs.conv1d.weight[:, 0].flip(1))
        ours.conv.bias.copy_(theirs.conv1d.bias)
        ours.select.weight.copy_(theirs.x_proj.weight)
        ours.dt.weight.copy_(theirs.dt_proj.weight)
        ours.dt.bias.copy_(theirs.dt_proj.bias)
        ours.log_a.copy_(theirs.A_log)
        ours.d.copy_(theirs.D)
        ours.out.weight.copy_(theirs.out_proj.weight)
    x = torch.randn(2, 13, 8, dtype=torch.float64)
    assert math.isclose(float((ours(x)[0] - theirs(x)).abs().max()), 0.0, abs_tol=1e-6)
