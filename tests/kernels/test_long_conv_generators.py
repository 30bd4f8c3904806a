"""Generators of long filters against the powers that define them; masks against attention with a dense mask."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from harness.api.errors import UsageError
from harness.kernels._contract import relative_error
from harness.kernels._dispatch import operation, tensors
from harness.kernels.long_conv import _generators
from harness.kernels.tree_attention import _masks
from harness.kernels.vandermonde.reference import inputs

MEASURED = """
import resource, sys
import torch
from harness.kernels._dispatch import operation

vandermonde, long_conv = operation("vandermonde"), operation("long_conv")
def run(channels, states, length):
    weight = torch.randn(channels, states, dtype=torch.complex64, requires_grad=True)
    rate = torch.complex(-torch.rand(channels, states), torch.randn(channels, states)).requires_grad_()
    x = torch.randn(1, channels, length)
    answer, _ = long_conv(x, vandermonde(weight, rate, length))
    torch.autograd.grad(answer.sum(), (weight, rate))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
channels, states, length = map(int, sys.argv[1:])
run(channels, states, 64)
before = peak()
run(channels, states, length)
print(peak() - before)
"""


def test_krylov_equals_repeated_multiplication() -> None:
    torch.manual_seed(0)
    a, b, c = torch.randn(2, 4, 4) / 3, torch.randn(2, 4), torch.randn(2, 4)
    state, steps = b.double(), []
    for _ in range(50):
        steps.append((c.double() * state).sum(1))
        state = torch.einsum("hij,hj->hi", a.double(), state)
    assert relative_error(_generators.krylov(a, b, c, 50), torch.stack(steps, 1)) < 1e-5


def test_the_moving_average_equals_its_recurrence() -> None:
    torch.manual_seed(1)
    p, q, beta, gamma = torch.rand(3, 2), torch.rand(3, 2), torch.randn(3, 2), torch.randn(3, 2)
    powers = q.double().unsqueeze(2) ** torch.arange(40)
    expected = ((gamma * p * beta).double().unsqueeze(2) * powers).sum(1) / 2**0.5
    assert relative_error(_generators.ema(p, q, beta, gamma, 40), expected) < 1e-5


@pytest.mark.parametrize("length", [1, 2, 9])
def test_the_implicit_filter_equals_its_network_at_each_position(length: int) -> None:
    rng = np.random.default_rng(3)
    bands, hidden, channels = 2, 6, 3
    weights = [rng.normal(size=shape) for shape in ((hidden, 2 * bands + 1), (hidden, hidden), (channels, hidden))]
    biases = [rng.normal(size=hidden), rng.normal(size=hidden), None]
    frequency, decay = rng.normal(size=hidden), rng.normal(size=channels)
    expected = np.empty((channels, length))
    for step in range(length):
        place = step / (length - 1) if step else 0.0
        angles = [2 * np.pi * step / length * band for band in (1e-4, 1.0)]
        value = np.array([place, *np.cos(angles), *-np.sin(angles)])
        value = np.sin(frequency * (weights[0] @ value + biases[0]))
        value = np.sin(frequency * (weights[1] @ value + biases[1]))
        expected[:, step] = weights[2] @ value * np.exp(-np.abs(decay) * place)
    got = _generators.implicit(
        [torch.from_numpy(weight) for weight in weights],
        [bias if bias is None else torch.from_numpy(bias) for bias in biases],
        torch.from_numpy(frequency), torch.from_numpy(decay), length,
    )  # fmt: skip
    assert relative_error(got, torch.from_numpy(expected)) < 1e-12


class Largest(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that any operation inside it made."""

    bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        made = function(*arguments, **(named or {}))
        for tensor in tensors(made):
            self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return made


def test_no_tensor_of_a_filter_or_its_convolution_is_as_large_as_every_state_of_every_step() -> None:
    channels, states, length = 4, 64, 1 << 14
    made = inputs({"H": channels, "N": states}, seed=0, case="complex")
    weight, rate = (made[name].to(torch.complex64).requires_grad_() for name in ("weight_HN", "rate_HN"))
    x = torch.randn(1, channels, length, requires_grad=True)
    with Largest() as largest:
        filter_HL = operation("vandermonde")(weight, rate, length)
        answer, _ = operation("long_conv")(x, filter_HL)
        torch.autograd.grad(answer.sum(), (x, weight, rate))
    assert largest.bytes < channels * states * length * 8 / 8, f"{largest.bytes >> 10} KiB"


@pytest.mark.slow
@pytest.mark.parametrize("length", [1 << 14, 1 << 16])
def test_a_filter_and_its_convolution_never_hold_every_state_of_every_step(length: int) -> None:
    channels, states = 32, 64
    whole = channels * states * length * 8  # bytes of [H, N, L] in complex64
    # the peak of a process never falls, so each measurement gets one of its own
    command = [sys.executable, "-c", MEASURED, str(channels), str(states), str(length)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert int(done.stdout) < whole / 2, f"{int(done.stdout) >> 20} MiB, where [H, N, L] is {whole >> 20} MiB"


def test_a_tree_sees_ancestors_alone() -> None:
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 1]]
    assert _masks.tree([-1, 0, 0, 1]).int().tolist() == expected
    with pytest.raises(UsageError, match="node 1 has parent 2"):
        _masks.tree([-1, 2])


def test_chunked_limited_sees_its_chunk_and_those_to_the_left() -> None:
    assert _masks.chunked_limited(6, 2, 1).int().tolist()[4] == [0, 0, 1, 1, 1, 1]


def test_rows_of_different_lengths_equal_dense_attention() -> None:
    torch.manual_seed(2)
    q, k, v = torch.randn(2, 2, 4, 8), torch.randn(2, 2, 20, 8), torch.randn(2, 2, 20, 8)
    tree = _masks.tree([-1, 0, 0, 1])
    got = operation("tree_attention")(q, k, v, tree.expand(2, 4, 4), (20, 13))
    for row, length in enumerate((20, 13)):
        mask = torch.cat((torch.ones(4, length - 4, dtype=torch.bool), tree), 1)
        expected = scaled_dot_product_attention(q[row], k[row, :, :length], v[row, :, :length], attn_mask=mask)
        assert relative_error(got[row], expected) < 1e-5
