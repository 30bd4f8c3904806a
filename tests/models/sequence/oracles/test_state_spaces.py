"""Are the state spaces the systems of their papers, discretised by SciPy and stepped one input at a time?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import signal, special
from torch import Tensor, nn

from harness.models.sequence._mixer import Site
from harness.models.sequence.dss import DSS, DSSLayer
from harness.models.sequence.gss import GSS, GatedStateSpace
from harness.models.sequence.liquid_s4 import LiquidLayer, LiquidS4
from harness.models.sequence.lru import LRU, RingLayer
from harness.models.sequence.lssl import LSSL, LSSLLayer
from harness.models.sequence.s4 import S4, S4Layer
from harness.models.sequence.s4d import S4D, S4DLayer
from harness.models.sequence.s4nd import S4ND, PlanarLayer

# B batch, T time, D width, N states
Array = NDArray[Any]
WIDTH, LENGTH = 4, 33


def inputs(length: int = LENGTH) -> Tensor:
    return torch.randn(2, length, WIDTH, dtype=torch.float64)


def array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def complex_array(parts: Tensor) -> Array:
    """The last axis holds the real and the imaginary part."""
    return array(parts[..., 0]) + 1j * array(parts[..., 1])


def stepped(system: tuple[Array, Array, Array], u_T: Array) -> Array:
    """y_t = Re c h_t, h_t = a h_{t-1} + b u_t."""
    a, b, c = system
    held, outputs = np.zeros(len(b), dtype=np.result_type(a, b)), []
    for value in u_T:
        held = a @ held + b * value
        outputs.append((c @ held).real)
    return np.array(outputs)


def discretised(a_NN: Array, b_N: Array, dt: float, method: str, alpha: float | None = None) -> tuple[Array, Array]:
    empty = np.zeros((1, len(b_N)))
    a, b, *_ = signal.cont2discrete((a_NN, b_N[:, None], empty, np.zeros((1, 1))), dt, method, alpha)
    return a, b[:, 0]


def left(out: nn.Linear, y_BTD: Array, gated: bool) -> Array:
    """GELU, the map out, and a GLU where there is one."""
    y = y_BTD * (1 + special.erf(y_BTD / np.sqrt(2))) / 2 @ array(out.weight).T + array(out.bias)
    value, gate = np.split(y, 2, -1) if gated else (y, np.inf)
    return value * special.expit(gate)


def each(x_BTD: Tensor, skip_D: Tensor, run: Callable[[int, Array], Array]) -> Array:
    """Every row and channel through a system of one input and one output, and the skip."""
    x = array(x_BTD)
    rows = [[run(channel, row[:, channel]) for channel in range(x.shape[2])] for row in x]
    return np.array(rows).transpose(0, 2, 1) + array(skip_D) * x


def pairs(a_N: Array, c_N: Array) -> tuple[Array, Array, Array]:
    """(A, B, C) in real numbers of h' = a h + u, y = 2 Re c h: two real states for each complex one."""
    blocks = np.zeros((2 * len(a_N), 2 * len(a_N)))
    for n, pole in enumerate(a_N):
        blocks[2 * n : 2 * n + 2, 2 * n : 2 * n + 2] = [[pole.real, -pole.imag], [pole.imag, pole.real]]
    return blocks, np.tile([1.0, 0.0], len(a_N)), np.stack([2 * c_N.real, -2 * c_N.imag], -1).ravel()


def poles(layer: Any) -> Array:
    return -np.exp(array(layer.log_decay)) + 1j * array(layer.turn)


def diagonal_channel(layer: S4DLayer, channel: int) -> tuple[Array, Array, Array]:
    """A channel of S4D, by SciPy's zero-order hold."""
    a, b, c = pairs(poles(layer)[channel], complex_array(layer.c)[channel])
    return *discretised(a, b, float(layer.log_dt[channel].exp()), "zoh"), c


@pytest.mark.parametrize("init", ["lin", "legs", "inv"])
def test_s4d_is_its_continuous_system_under_scipys_hold(largest: Callable[[Any, Any], float], init: str) -> None:
    made = S4D(states=16, init=init).mixer(Site(WIDTH)).double()
    assert isinstance(made, S4DLayer)
    x = inputs()
    expected = each(x, made.d, lambda channel, u: stepped(diagonal_channel(made, channel), u))
    assert largest(made(x)[0], left(made.out, expected, gated=True)) < 1e-12


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_lssl_is_its_continuous_system_under_scipys_bilinear_method(
    largest: Callable[[Any, Any], float], alpha: float
) -> None:
    made = LSSL(states=8, alpha=alpha, dt_high=1e-2).mixer(Site(WIDTH)).double()
    assert isinstance(made, LSSLLayer)
    x, c = inputs(), array(made.c)

    def channel(index: int, u: Array) -> Array:
        dt = float(made.log_dt[index].exp())
        return stepped((*discretised(array(made.a), array(made.b), dt, "gbt", alpha), c[index]), u)

    assert largest(made(x)[0], left(made.out, each(x, made.d, channel), gated=False)) < 1e-11


@pytest.mark.parametrize("form", ["nplr", "dense"])
def test_s4_is_its_normal_plus_low_rank_system_under_scipys_bilinear_method(
    largest: Callable[[Any, Any], float], form: Any
) -> None:
    made = S4(states=16, form=form).mixer(Site(WIDTH)).double()
    assert isinstance(made, S4Layer)
    x = inputs()
    # both halves of the conjugate pairs: A = diag(L) - p p*
    spectrum, p, b = (np.r_[half, half.conj()] for half in (poles(made), complex_array(made.p), complex_array(made.b)))
    a = np.diag(spectrum) - np.outer(p, p.conj())

    def channel(index: int, u: Array) -> Array:
        c = complex_array(made.c)[index]
        dt = float(made.log_dt[index].exp())
        return stepped((*discretised(a, b, dt, "bilinear"), np.r_[c, c.conj()]), u)

    assert largest(made(x)[0], left(made.out, each(x, made.d, channel), gated=True)) < 1e-11


@pytest.mark.parametrize("kernel", ["exp", "softmax"])
@pytest.mark.parametrize("steps", [1, 2])
def test_dss_is_the_sum_of_its_papers_rows(largest: Callable[[Any, Any], float], kernel: Any, steps: int) -> None:
    made = DSS(states=6, kernel=kernel, steps=steps).mixer(Site(WIDTH, length=LENGTH)).double()
    assert isinstance(made, DSSLayer)
    x, spectrum, w = inputs(), poles(made), complex_array(made.w)

    def channel(index: int, u: Array) -> Array:
        dt = array(made.log_dt[index].exp())
        exponents = np.outer(dt[0] * spectrum.real + 1j * dt[-1] * spectrum.imag, np.arange(LENGTH))
        if kernel == "exp":
            rows = (np.exp(exponents[:, 1:2]) - 1) / spectrum[:, None] * np.exp(exponents)
        else:
            rows = np.exp(exponents) / np.exp(exponents).sum(1, keepdims=True) / spectrum[:, None]
        return np.convolve((w[index] @ rows).real, u)[:LENGTH]

    assert largest(made(x)[0], left(made.out, each(x, made.d, channel), gated=False)) < 1e-12


def test_gss_is_the_layer_of_gated_state_spaces_pytorch(largest: Callable[[Any, Any], float]) -> None:
    theirs_of = pytest.importorskip("gated_state_spaces_pytorch", reason="oracles extra is not installed").GSS
    made = GSS(states=8, reduce=2).mixer(Site(WIDTH)).double()
    assert isinstance(made, GatedStateSpace)
    theirs = theirs_of(dim=WIDTH, dim_expansion_factor=4, dss_kernel_N=8, dss_kernel_H=WIDTH // 2).double()
    theirs.norm = nn.Identity()  # the block's, not the mixer's
    made.norm.weight.normal_()
    made.norm.bias.normal_()
    theirs.to_v[0].weight.copy_(made.enter.weight)
    theirs.to_u[0].weight.copy_(made.gate.weight)
    theirs.dss.norm.load_state_dict(made.norm.state_dict())
    theirs.dss.Lambda_real.copy_(made.space.log_decay)
    theirs.dss.Lambda_imag.copy_(made.space.log_turn)
    theirs.dss.C_real.copy_(made.space.c[..., 0])
    theirs.dss.C_imag.copy_(made.space.c[..., 1])
    theirs.dss.param_D.copy_(made.space.d)
    theirs.to_gate.weight.copy_(made.widen.weight)
    theirs.to_out.load_state_dict(made.out.state_dict())
    x = inputs()
    assert largest(made(x)[0], theirs(x) - x) < 1e-12


def test_gss_starts_as_the_pseudocode_says() -> None:
    made = GSS(states=20_000, reduce=1).mixer(Site(1))
    assert isinstance(made, GatedStateSpace)
    for drawn in (made.space.log_decay, made.space.log_turn, made.space.c[..., 0], made.space.c[..., 1]):
        assert float(drawn.mean()) == pytest.approx(0.0, abs=0.03)
        assert float(drawn.std()) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("kernel", ["pb", "kb"])
def test_liquid_s4_is_the_sum_over_the_degrees_of_its_paper(largest: Callable[[Any, Any], float], kernel: Any) -> None:
    made = LiquidS4(states=8, degree=3, kernel=kernel).mixer(Site(WIDTH)).double()
    assert isinstance(made, LiquidLayer)
    x, a, c = inputs(), poles(made.base), complex_array(made.base.c)

    def channel(index: int, u: Array) -> Array:
        dt = float(made.base.log_dt[index].exp())
        # SciPy's hold of one complex state at a time
        held = [discretised(np.array([[pole]]), np.ones(1), dt, "zoh") for pole in a[index]]
        a_bar, b_bar = np.array([pole[0, 0] for pole, _ in held]), np.array([b[0] for _, b in held])
        total = np.zeros(LENGTH)
        for degree in (1, 2, 3):
            taps = 1 if kernel == "pb" and degree > 1 else LENGTH
            k = np.array([2 * (c[index] * a_bar**lag * b_bar**degree).sum().real for lag in range(taps)])
            behind = [np.r_[np.zeros(back), u[: LENGTH - back]] for back in range(degree)]
            total += np.convolve(k, np.prod(behind, 0))[:LENGTH]
        return total

    assert largest(made(x)[0], left(made.base.out, each(x, made.base.d, channel), gated=True)) < 1e-12


def test_s4nd_is_scipys_convolution_of_the_image_with_an_outer_product(largest: Callable[[Any, Any], float]) -> None:
    rows, columns = 5, 7
    made = S4ND(states=8).mixer(Site(WIDTH, grid=(rows, columns))).double()
    assert isinstance(made, PlanarLayer)
    x = inputs(rows * columns)

    def two_sided(ahead: Any, back: Any, channel: int, size: int) -> Array:
        impulse = np.eye(1, size)[0]
        right, to_left = (stepped(diagonal_channel(layer, channel), impulse) for layer in (ahead, back))
        # from lag 1 - size to size - 1; a pixel hears itself from both sides
        return np.r_[to_left[:0:-1], right[0] + to_left[0], right[1:]]

    def channel(index: int, u: Array) -> Array:
        kernel = np.outer(two_sided(*made.axes[:2], index, rows), two_sided(*made.axes[2:], index, columns))
        return signal.convolve2d(u.reshape(rows, columns), kernel, "full")[
            rows - 1 : -rows + 1, columns - 1 : -columns + 1
        ].ravel()

    assert largest(made(x, grid=(rows, columns))[0], left(made.out, each(x, made.d, channel), gated=True)) < 1e-12


def test_the_lru_is_the_layer_of_lru_pytorch(largest: Callable[[Any, Any], float]) -> None:
    theirs_of = pytest.importorskip("LRU_pytorch", reason="oracles extra is not installed").LRU
    made = LRU(states=6).mixer(Site(WIDTH))
    assert isinstance(made, RingLayer)
    theirs = theirs_of(in_features=WIDTH, out_features=WIDTH, state_features=6)
    theirs.nu_log.copy_(made.nu)
    theirs.theta_log.copy_(made.theta)
    theirs.gamma_log.copy_(made.gamma)
    theirs.B.copy_(torch.view_as_complex(made.b))
    theirs.C.copy_(torch.view_as_complex(made.c))
    theirs.D.copy_(torch.diag(made.d))
    x = inputs().float()
    y = nn.functional.glu(made.out(nn.functional.gelu(theirs(x))), -1)
    assert largest(made(x)[0], y) < 2e-6


def test_the_ring_of_the_lru_starts_as_that_of_lru_pytorch() -> None:
    theirs_of = pytest.importorskip("LRU_pytorch", reason="oracles extra is not installed").LRU
    torch.manual_seed(0)
    made, theirs = LRU(states=20_000).mixer(Site(2)), theirs_of(2, 2, 20_000)
    assert isinstance(made, RingLayer)
    for ours, published in ((made.nu, theirs.nu_log), (made.theta, theirs.theta_log), (made.gamma, theirs.gamma_log)):
        parts = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
        assert torch.allclose(ours.quantile(parts), published.quantile(parts), atol=0.06)
