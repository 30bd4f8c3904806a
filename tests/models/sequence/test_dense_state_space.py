"""Are LSSL and S4 the layers of their papers: gated cell, resolution change, two forms of one kernel?"""

from __future__ import annotations

import pytest
import torch

from harness.models.sequence._dense import generalised_bilinear
from harness.models.sequence._hippo import legs
from harness.models.sequence._mixer import Site
from harness.models.sequence.lssl import LSSL, LSSLLayer
from harness.models.sequence.s4 import S4, S4Layer
from harness.models.sequence.s4d import S4D


def test_a_of_minus_one_with_backward_euler_is_a_sigmoid_gated_cell() -> None:
    """Lemma 3.1: h = (1 - sigmoid(z)) h + sigmoid(z) u for dt = e^z."""
    z = torch.tensor([-2.0, 0.0, 1.5], dtype=torch.float64)
    a, b = generalised_bilinear(-torch.ones(1, 1).double(), torch.ones(1).double(), z.exp(), 1.0)
    assert torch.allclose(a[:, 0, 0], 1 - torch.sigmoid(z), atol=1e-15)
    assert torch.allclose(b[:, 0], torch.sigmoid(z), atol=1e-15)


def test_alpha_of_zero_is_eulers_method() -> None:
    a = torch.randn(3, 3, dtype=torch.float64)
    found, _ = generalised_bilinear(a, torch.ones(3).double(), torch.tensor([0.1]).double(), 0.0)
    assert torch.allclose(found[0], torch.eye(3).double() + 0.1 * a, atol=1e-15)


def test_half_the_step_at_twice_the_rate_is_the_same_kernel() -> None:
    torch.manual_seed(0)
    layer = LSSL(width=4, states=8, dt_low=1e-3, dt_high=2e-3).mixer(Site(4)).double()
    assert isinstance(layer, LSSLLayer)
    coarse = layer.filter(layer.system(), 200)
    with torch.no_grad():
        layer.log_dt -= torch.log(torch.tensor(2.0))
    fine = 2 * layer.filter(layer.system(), 400)[:, ::2]
    assert float((fine - coarse).detach().norm() / coarse.detach().norm()) < 0.02


def test_the_fixed_layer_trains_neither_the_matrix_nor_the_steps() -> None:
    learned = {name for name, item in LSSL(trainable=False).mixer(Site(4)).named_parameters() if item.requires_grad}
    assert learned == {"c", "d", "out.weight", "out.bias"}


@pytest.mark.parametrize("length", [1, 2, 37, 256])
def test_the_cauchy_kernel_is_that_of_the_dense_matrix(length: int) -> None:
    torch.manual_seed(0)
    low_rank, dense = (S4(width=3, states=32, form=form).mixer(Site(3)).double() for form in ("nplr", "dense"))
    assert isinstance(low_rank, S4Layer)
    assert isinstance(dense, S4Layer)
    dense.load_state_dict(low_rank.state_dict())
    found, expected = (layer.filter(layer.system(), length) for layer in (low_rank, dense))
    assert float((found - expected).detach().norm() / expected.detach().norm()) < 1e-9


def test_the_dense_matrix_starts_as_hippo_legs() -> None:
    layer = S4(width=1, states=16).mixer(Site(1)).double()
    assert isinstance(layer, S4Layer)
    with torch.no_grad():
        layer.log_dt.fill_(-12.0)
    a, b = legs(16)
    step = float(layer.log_dt.detach().exp())
    slope = (layer.system().a_HNN[0].detach() - torch.eye(16).double()) / step
    assert float((slope - a).norm() / a.norm()) < 1e-3
    assert float((layer.system().b_HN[0].detach() / step - b).norm() / b.norm()) < 1e-3


def test_parameters_of_s4_have_a_closed_form() -> None:
    d, pairs = 8, 16
    expected = 2 * pairs + 2 * 2 * pairs + d + 2 * d * pairs + d + 2 * d * (d + 1)
    assert sum(item.numel() for item in S4(states=32).mixer(Site(d)).parameters()) == expected
    assert sum(item.numel() for item in S4D(states=32).mixer(Site(d)).parameters()) == d * (4 * pairs + 2) + 2 * d * (
        d + 1
    )
