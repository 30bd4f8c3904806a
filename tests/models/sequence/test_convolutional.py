"""Do the mixers made of convolutions reach as far, and separate, as their formulas say?"""

from __future__ import annotations

import pytest
import torch

from harness.models.sequence._mixer import Mixer, Site
from harness.models.sequence.gss import GSS, GatedStateSpace
from harness.models.sequence.hyena import Hyena, HyenaOperator
from harness.models.sequence.liquid_s4 import LiquidLayer, LiquidS4
from harness.models.sequence.s4nd import S4ND, PlanarLayer
from harness.models.sequence.tcn import TCN, TemporalConvolutions


def reach(mixer: Mixer, width: int, length: int) -> int:
    """How many steps, counting its own, the last output depends on."""
    x = torch.randn(1, length, width, dtype=torch.float64)
    with torch.enable_grad():
        x.requires_grad_()
        mixer(x)[0][0, -1].square().sum().backward()
    assert x.grad is not None
    heard = x.grad[0].abs().sum(-1).nonzero()
    return length - int(heard.min())


@pytest.mark.parametrize(("taps", "levels", "base"), [(1, 1, 2), (2, 1, 2), (2, 3, 2), (3, 2, 3), (3, 3, 2)])
def test_the_receptive_field_is_exactly_its_formula(taps: int, levels: int, base: int) -> None:
    made = TCN(taps=taps, levels=levels, base=base).mixer(Site(16)).double()
    assert isinstance(made, TemporalConvolutions)
    expected = 1 + 2 * (taps - 1) * sum(base**level for level in range(levels))
    assert made.stack.receptive_field == expected
    assert reach(made, 16, expected + 5) == expected


def test_weight_normalisation_starts_at_the_drawn_weights() -> None:
    made = TCN().mixer(Site(4))
    assert isinstance(made, TemporalConvolutions)
    assert made.stack.gains is not None
    assert torch.allclose(made.stack.gains[0], made.stack.weights[0].flatten(1).norm(dim=1))


@pytest.mark.parametrize("kernel", ["pb", "kb"])
def test_degree_one_is_the_state_space_itself(kernel: str) -> None:
    made = LiquidS4(states=8, degree=1, kernel=kernel).mixer(Site(3)).double()
    assert isinstance(made, LiquidLayer)
    x = torch.randn(2, 20, 3, dtype=torch.float64)
    assert torch.equal(made(x)[0], made.base(x)[0])


@pytest.mark.parametrize("kernel", ["pb", "kb"])
def test_products_of_neighbours_enter_with_powers_of_b(kernel: str) -> None:
    made = LiquidS4(states=4, degree=3, kernel=kernel).mixer(Site(2)).double()
    assert isinstance(made, LiquidLayer)
    x = torch.randn(1, 9, 2, dtype=torch.float64)
    system, entry = made.base.system(1), made._entry()
    # weight already holds 2 C B; read C B^p A^k off it
    expected = torch.zeros(1, 9, 2, dtype=torch.float64)
    for time in range(9):
        for power in (1, 2, 3):
            taps = range(time + 1) if power == 1 or kernel == "kb" else (0,)
            for lag in taps:
                if time - lag - power + 1 < 0:
                    continue
                product = x[0, time - lag - power + 1 : time - lag + 1].prod(0)
                gain = (system.weight_HN * entry ** (power - 1) * torch.exp(system.log_a_HN * lag)).sum(-1).real
                expected[0, time] += gain * product
    expected = made._leave(expected + system.skip_H * x)
    assert float((made(x)[0] - expected).abs().max()) < 1e-12


def test_an_image_is_convolved_with_the_outer_product_of_its_axes_kernels() -> None:
    made = S4ND(states=8).mixer(Site(3, grid=(5, 7))).double()
    assert isinstance(made, PlanarLayer)
    down, up, _, _ = made.kernels(5)
    _, _, right, left = made.kernels(7)

    def two_sided(ahead: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        lag = torch.arange(ahead.shape[1])[:, None] - torch.arange(ahead.shape[1])
        return torch.where(lag >= 0, ahead[:, lag.clamp(min=0)], 0.0) + torch.where(
            lag <= 0, back[:, (-lag).clamp(min=0)], 0.0
        )

    x = torch.randn(2, 35, 3, dtype=torch.float64)
    image = x.transpose(1, 2).unflatten(2, (5, 7))
    mixed = torch.einsum("drs,dce,bdse->bdrc", two_sided(down, up), two_sided(right, left), image)
    y = mixed.flatten(2).transpose(1, 2) + made.d * x
    expected = torch.nn.functional.glu(made.out(torch.nn.functional.gelu(y)), -1)
    assert float((made(x, grid=(5, 7))[0] - expected).abs().max()) < 1e-10


def test_a_causal_site_keeps_the_one_dimensional_layer_even_for_images() -> None:
    assert S4ND().mixer(Site(8, grid=(4, 4), causal=True)).causal


def test_hyena_of_order_two_is_its_three_lines() -> None:
    made = Hyena().mixer(Site(4, length=12)).double()
    assert isinstance(made, HyenaOperator)
    x = torch.randn(2, 12, 4, dtype=torch.float64)
    mixed, _ = made.short(made.project(x), None)
    x0, x1, v = mixed.transpose(1, 2).chunk(3, 1)
    gated, filters = x1 * v, made.filters()[0]
    lag = torch.arange(12)[:, None] - torch.arange(12)
    toeplitz = torch.where(lag >= 0, filters[:, lag.clamp(min=0)], 0.0)
    y = torch.einsum("dts,bds->bdt", toeplitz, gated) + made.skip[0][:, None] * gated
    assert float((made(x)[0] - made.out((y * x0).transpose(1, 2))).abs().max()) < 1e-10


def test_hyenas_filters_decay_between_the_published_rates() -> None:
    made = Hyena().mixer(Site(8, length=64))
    assert isinstance(made, HyenaOperator)
    window = made.get_buffer("window")
    ends = torch.exp(-window.abs())[[0, -1]]
    assert torch.allclose(ends, torch.tensor([0.01 ** (1 / 1.5), 0.01 ** (1 / 0.3)]), rtol=1e-4)


def test_gss_runs_its_state_space_in_a_quarter_of_the_width() -> None:
    made = GSS(states=8).mixer(Site(16))
    assert isinstance(made, GatedStateSpace)
    assert made.state_bytes(1000) == 4 * 8 * 8  # 16 / 4 channels, 8 states, 8 bytes a complex number
    d, h, e, n = 16, 4, 64, 8
    expected = d * h + d * e + 2 * h + (2 * n + h + 2 * h * n) + h * e + (e * d + d)
    assert sum(item.numel() for item in made.parameters()) == expected
