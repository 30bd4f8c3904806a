"""Is a diagonal layer's convolution its recurrence, and are its poles where the papers put them?"""

from __future__ import annotations

import math

import pytest
import torch

from harness.models.sequence import _diagonal as diagonal
from harness.models.sequence._mixer import Site
from harness.models.sequence.dss import DSS
from harness.models.sequence.lru import LRU, RingLayer
from harness.models.sequence.s4d import S4D, S4DLayer, spectrum


@pytest.mark.parametrize("init", ["lin", "legs", "inv"])
def test_the_convolution_of_s4d_is_its_recurrence_and_its_published_kernel(init: str) -> None:
    made = S4D(states=16, init=init).mixer(Site(3)).double()
    assert isinstance(made, S4DLayer)
    x = torch.randn(2, 3, 200, dtype=torch.float64)
    found, _ = diagonal.run(made.system(200), x, None, hand_on=False)

    a_HN = torch.complex(-made.log_decay.exp(), made.turn)
    dt_H1, c_HN = made.log_dt.exp()[:, None], torch.view_as_complex(made.c)
    held, stepped = torch.zeros(2, 3, 8, dtype=torch.complex128), []
    for time in range(200):
        # zero-order hold with B = 1
        held = torch.exp(dt_H1 * a_HN) * held + torch.expm1(dt_H1 * a_HN) / a_HN * x[:, :, time, None]
        stepped.append(2 * (c_HN * held).sum(-1).real + made.d * x[:, :, time])
    assert torch.allclose(found, torch.stack(stepped, -1), atol=1e-11)

    lag = torch.arange(200, dtype=torch.float64)
    kernel = 2 * torch.einsum(
        "hn,hnl->hl", c_HN * torch.expm1(dt_H1 * a_HN) / a_HN, torch.exp((dt_H1 * a_HN)[..., None] * lag)
    )
    by_kernel = [(kernel.real[:, : time + 1].flip(1) * x[:, :, : time + 1]).sum(-1) for time in range(200)]
    assert torch.allclose(found, torch.stack(by_kernel, -1) + made.d[:, None] * x, atol=1e-11)


@pytest.mark.parametrize("length", [1, diagonal.BLOCK - 1, diagonal.BLOCK, diagonal.BLOCK + 1, 3 * diagonal.BLOCK + 7])
@pytest.mark.parametrize("real", [False, True])
def test_blocks_hand_on_and_read_the_state_that_steps_leave(length: int, real: bool) -> None:
    rate = torch.randn(3, 4, dtype=torch.float64).abs() / 20
    log_a = -rate if real else torch.complex(-rate, torch.randn(3, 4, dtype=torch.float64))
    system = diagonal.Diagonal(log_a, torch.randn(3, 4, dtype=log_a.dtype), torch.randn(3, dtype=torch.float64))
    x, held = torch.randn(2, 3, length, dtype=torch.float64), torch.randn(2, 3, 4, dtype=log_a.dtype)
    for start in (held, None):
        found, last = diagonal.run(system, x, start, hand_on=True)
        state, stepped = torch.zeros_like(held) if start is None else start, []
        for time in range(length):
            y, state = diagonal.step(system, x[:, :, time], state)
            stepped.append(y)
        assert last is not None
        assert float((found - torch.stack(stepped, -1)).abs().max()) < 1e-11
        assert float((last - state).abs().max()) < 1e-11


def test_the_published_spectra() -> None:
    decay, turn = spectrum("lin", 4)
    assert decay.tolist() == [0.5] * 4
    assert turn.tolist() == pytest.approx([0.0, math.pi, 2 * math.pi, 3 * math.pi])
    assert spectrum("inv", 4)[1].tolist() == pytest.approx([8 / math.pi * (8 / (2 * n + 1) - 1) for n in range(4)])
    assert spectrum("legs", 4)[0].tolist() == pytest.approx([0.5] * 4, abs=1e-4)


@pytest.mark.parametrize("kernel", ["exp", "softmax"])
def test_modes_of_dss_never_grow(kernel: str) -> None:
    made = DSS(states=8, kernel=kernel).mixer(Site(3, length=50)).double()
    assert bool((made.system(50).log_a_HN.real < 0).all())


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.5), (0.4, 0.99), (0.9, 0.999)])
def test_eigenvalues_of_the_lru_lie_in_the_ring_and_fill_its_area_evenly(low: float, high: float) -> None:
    made = LRU(states=4_000, low=low, high=high).mixer(Site(2))
    assert isinstance(made, RingLayer)
    radius = made.eigenvalues().abs().double()
    assert float(radius.min()) >= low - 1e-5
    assert float(radius.max()) <= high + 1e-5
    # |l|^2 is uniform: four deciles of a sample of 4,000 stray by less than 0.04
    share = ((radius.square() - low**2) / (high**2 - low**2)).quantile(torch.tensor([0.2, 0.4, 0.6, 0.8]).double())
    assert share.tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=0.04)


def test_the_phase_of_the_lru_stays_below_its_bound() -> None:
    made = LRU(states=1_000, phase=0.1).mixer(Site(2))
    assert isinstance(made, RingLayer)
    angle = made.eigenvalues().angle()
    assert 0 <= float(angle.min()) <= float(angle.max()) <= 0.1 + 1e-6


def test_the_states_of_the_lru_keep_the_variance_of_white_noise() -> None:
    made = LRU(states=200, low=0.4, high=0.99).mixer(Site(64)).double()
    x = torch.randn(4, 2_000, 64, dtype=torch.float64)
    _, after = made(x)
    # E |B x|^2 = 1 for B of variance 1 / (2 D) in each part; gamma undoes the 1 / (1 - |l|^2) of the recurrence
    assert float(after["state"].abs().square().mean()) == pytest.approx(1.0, abs=0.15)
