"""What is peculiar to the linear scan: chunks of a square root of the length, and products that must not overflow."""

import math

import pytest
import torch

from harness.kernels._contract import relative_error
from harness.kernels._dispatch import operation
from harness.kernels.linear_scan import cpu

linear_scan = operation("linear_scan")


def test_a_scan_of_no_steps_hands_the_start_back() -> None:
    start = torch.tensor([[3.0, 4.0]])
    h_BTN, last_BN = linear_scan(torch.ones(1, 0, 2), torch.ones(1, 0, 2), start)
    assert h_BTN.shape == (1, 0, 2)
    assert torch.equal(last_BN, start)


def test_a_scan_of_one_step_adds_the_decayed_start() -> None:
    h_BTN, _ = linear_scan(torch.tensor([[[0.5]]]), torch.tensor([[[1.0]]]), torch.tensor([[4.0]]))
    assert h_BTN.item() == 3.0


@pytest.mark.parametrize("length", [2, 3, 4, 8, 15, 16, 17, 4095, 4097, 5000])
def test_gates_of_one_count_the_steps_at_any_length(length: int) -> None:
    h_BTN, _ = linear_scan(torch.ones(1, length, 2), torch.ones(1, length, 2))
    assert torch.equal(h_BTN[0, :, 1], torch.arange(1.0, length + 1))


def test_growing_gates_stay_finite_where_the_answer_is() -> None:
    # gates of 3 for sixty steps, then zero: the running product passes 1e28 and never meets an infinity
    gate = torch.full((1, 128, 1), 3.0)
    gate[:, 60:] = 0.0
    h_BTN, _ = linear_scan(gate, torch.zeros(1, 128, 1), torch.ones(1, 1))
    assert torch.isfinite(h_BTN).all()
    assert h_BTN[0, 59].item() == pytest.approx(3.0**60, rel=1e-5)
    assert h_BTN[0, 60:].abs().max() == 0.0


def test_a_rotation_keeps_its_radius_for_a_thousand_steps() -> None:
    gate = torch.polar(torch.ones(1, 1000, 1), torch.full((1, 1000, 1), 2 * math.pi / 250))
    h_BTN, last_BN = linear_scan(gate, torch.zeros_like(gate), torch.ones(1, 1, dtype=torch.complex64))
    assert h_BTN.abs().sub(1.0).abs().max() < 1e-4
    assert (last_BN - 1.0).abs().item() < 1e-3


def test_the_gradient_of_the_last_state_alone_reaches_every_step() -> None:
    gate, x = torch.full((1, 40, 1), 0.5), torch.zeros(1, 40, 1, requires_grad=True)
    _, last_BN = linear_scan(gate, x)
    (gradient,) = torch.autograd.grad(last_BN.sum(), x)
    assert torch.allclose(gradient[0, :, 0], 0.5 ** torch.arange(39.0, -1, -1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_segments_hand_state_and_adjoint_to_each_other(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "SEGMENT", 1)
    rng = torch.Generator().manual_seed(0)
    # 333 steps are five segments of 64 and a rest
    inputs = [torch.randn(*shape, generator=rng, dtype=dtype) / 3 for shape in ((2, 333, 5), (2, 333, 5), (2, 5))]
    found = []
    for path in ("cpu", "reference"):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        outputs = linear_scan(*leaves, path=path)
        found.append([*outputs, *torch.autograd.grad(outputs, leaves, [torch.ones_like(item) for item in outputs])])
    assert max(relative_error(mine, truth) for mine, truth in zip(*found, strict=True)) < 1e-15
