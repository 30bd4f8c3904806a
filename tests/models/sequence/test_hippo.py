"""Do the polynomial memories remember what they promise?"""

from __future__ import annotations

import torch

from harness.models.sequence.hippo import Measure, reconstruct, transition


def remembered(measure: Measure, signal: torch.Tensor, size: int, window: int) -> torch.Tensor:
    memory = torch.zeros(1, size, dtype=torch.float64)
    for time, value in enumerate(signal):
        a, b = transition(measure, size, 1.0 / (time + 1) if measure == "legs" else 1.0 / window)
        memory = memory @ a.T + value * b
    return memory


def test_legs_keeps_the_mean_of_the_past_as_its_first_number() -> None:
    # the bilinear step halves the first input, which a running mean forgets as 1 / t
    memory = remembered("legs", torch.ones(50, dtype=torch.float64), 4, 0)
    assert abs(float(memory[0, 0]) - 1.0) < 0.02


def test_legs_reconstructs_a_cubic_over_its_whole_past() -> None:
    time = torch.linspace(0, 1, 2000, dtype=torch.float64)
    cubic = 1 - 3 * time + 4 * time**2 - 2 * time**3
    points = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    found = reconstruct(remembered("legs", cubic, 6, 0), points)[0]
    assert float((found - (1 - 3 * points + 4 * points**2 - 2 * points**3)).abs().max()) < 5e-3


def test_legs_with_fewer_coefficients_than_the_degree_does_not() -> None:
    time = torch.linspace(0, 1, 500, dtype=torch.float64)
    points = torch.linspace(0, 1, 21, dtype=torch.float64)
    found = reconstruct(remembered("legs", (2 * time - 1) ** 3, 2, 0), points)[0]
    assert float((found - (2 * points - 1) ** 3).abs().max()) > 0.1


def test_legt_reconstructs_the_last_window_and_forgets_what_lay_before() -> None:
    window = 400
    time = torch.arange(1600, dtype=torch.float64) / window
    signal = torch.where(time < 2, torch.full_like(time, 5.0), (time - 3) ** 2)
    points = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    found = reconstruct(remembered("legt", signal, 12, window), points)[0]
    assert float((found - points**2).abs().max()) < 0.02


def test_the_memory_does_not_explode_over_a_long_constant() -> None:
    memory = remembered("legs", torch.ones(1000, dtype=torch.float64), 32, 0)
    assert float(memory[0, 1:].abs().max()) < 0.05
