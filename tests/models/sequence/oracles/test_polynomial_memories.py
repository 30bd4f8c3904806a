"""Are HiPPO's matrices the derivatives of optimal projections, and its cell the recurrence of its paper?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.polynomial import Legendre
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy import signal, special

from harness.models.sequence._hippo import legs, legt
from harness.models.sequence._mixer import Site
from harness.models.sequence.hippo import HiPPO, PolynomialMemory, transition

SIZE = 12


def projected(values: Callable[[Any, NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """M_nk = integral over z in -1..1 of values(P_n)(z) P_k(z) / 2, both scaled to unit norm, by Gauss's rule."""
    nodes, weights = leggauss(2 * SIZE)
    scale = np.sqrt(2 * np.arange(SIZE) + 1)
    rows = np.array([values(Legendre.basis(n), nodes) for n in range(SIZE)]) * scale[:, None]
    columns = np.array([Legendre.basis(k)(nodes) for k in range(SIZE)]) * scale[:, None]
    return (rows * weights / 2) @ columns.T


def test_legs_is_the_derivative_of_the_projection_on_the_whole_past(largest: Callable[[Any, Any], float]) -> None:
    # c_n = 1/t integral of f(x) g_n(2x/t - 1): t c' = g(1) f(t) - c - integral of f (z + 1) g'(z)
    a, b = legs(SIZE)
    stretched = projected(lambda polynomial, z: (z + 1) * polynomial.deriv()(z))
    assert largest(a, -np.eye(SIZE) - stretched) < 1e-11
    assert largest(b, np.sqrt(2 * np.arange(SIZE) + 1)) < 1e-12


def test_legt_is_the_derivative_of_the_projection_on_a_window_of_one(largest: Callable[[Any, Any], float]) -> None:
    # c' = g(1) f(t) - g(-1) f(t - 1) - 2 integral of f g'(z), and f(t - 1) is what the memory holds of it
    a, b = legt(SIZE)
    scale = np.sqrt(2 * np.arange(SIZE) + 1)
    oldest = scale * (-1.0) ** np.arange(SIZE)
    slopes = projected(lambda polynomial, z: 2 * polynomial.deriv()(z))
    assert largest(a, -np.outer(oldest, oldest) - slopes) < 1e-11
    assert largest(b, scale) < 1e-12


@pytest.mark.parametrize("measure", ["legs", "legt"])
@pytest.mark.parametrize("step", [1.0, 0.05])
def test_a_transition_is_scipys_bilinear_one(largest: Callable[[Any, Any], float], measure: Any, step: float) -> None:
    a, b = (item.numpy() for item in (legs(SIZE) if measure == "legs" else legt(SIZE)))
    system = (a, b[:, None], np.zeros((1, SIZE)), np.zeros((1, 1)))
    expected_a, expected_b, *_ = signal.cont2discrete(system, step, "bilinear")
    found_a, found_b = transition(measure, SIZE, step)
    assert largest(found_a, expected_a) < 1e-11
    assert largest(found_b, expected_b[:, 0]) < 1e-11


@pytest.mark.parametrize(("measure", "window"), [("legs", 0), ("legt", 9)])
def test_the_cell_is_the_gated_recurrence_of_its_paper(
    largest: Callable[[Any, Any], float], measure: Any, window: int
) -> None:
    width, length = 3, 15
    made = HiPPO(states=SIZE, measure=measure, window=window).mixer(Site(width, length=length)).double()
    assert isinstance(made, PolynomialMemory)
    x = torch.randn(1, length, width, dtype=torch.float64)
    weight, bias, enter = (item.numpy() for item in (made.cell.weight, made.cell.bias, made.write.weight))
    a, b = (item.numpy() for item in (legs(SIZE) if measure == "legs" else legt(SIZE)))
    hidden, memory, outputs = np.zeros(width), np.zeros(SIZE), []
    for time, token in enumerate(x[0].numpy(), start=1):
        both = weight @ np.r_[hidden, memory, token] + bias
        gate = special.expit(both[:width])
        hidden = (1 - gate) * hidden + gate * np.tanh(both[width:])
        fresh = enter @ hidden + made.write.bias.numpy()
        step = 1 / time if measure == "legs" else 1 / window
        # the trapezoid: c - c' = step (A (c + c') / 2 + B f)
        right = memory + step * (a @ memory / 2 + b * fresh)
        memory = np.linalg.solve(np.eye(SIZE) - step / 2 * a, right)
        outputs.append(hidden)
    assert largest(made(x)[0][0], np.array(outputs)) < 1e-12
