"""Our operations against code that nobody here wrote: torch's own, and other projects' plain forms (extra [peers])."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import conv1d, logsigmoid, scaled_dot_product_attention

from harness.kernels._contract import TOLERANCE, relative_error
from harness.kernels._dispatch import operation

BOUND = TOLERANCE[torch.float32]
PATHS = ("reference", "cpu")

linear_scan, gated_linear = operation("linear_scan"), operation("gated_linear")
prefix_softmax, causal_conv = operation("prefix_softmax"), operation("causal_conv")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def agree(ours: Callable[..., torch.Tensor], theirs: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> None:
    """Values and gradients of both lie within the bound of each other."""
    answers, gradients = [], []
    for function in (ours, theirs):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        answer = function(*leaves)
        answers.append(answer)
        gradients.append(torch.autograd.grad(answer, leaves, normal(*answer.shape, seed=9)))
    assert relative_error(answers[0], answers[1]) <= BOUND
    for mine, other in zip(*gradients, strict=True):
        assert relative_error(mine, other) <= BOUND


@pytest.mark.parametrize("path", PATHS)
def test_linear_scan_equals_accelerated_scan(path: str) -> None:
    ref = pytest.importorskip("accelerated_scan.ref", reason="extra [peers]")
    gate, x = torch.sigmoid(normal(2, 64, 5) + 2.0), normal(2, 64, 5, seed=1)
    # theirs is [B, C, T], and writes into its arguments
    agree(
        lambda a, b: linear_scan(a, b, path=path)[0],
        lambda a, b: ref.scan(a.transpose(1, 2).contiguous(), b.transpose(1, 2).contiguous()).transpose(1, 2),
        gate,
        x,
    )


@pytest.mark.parametrize("path", PATHS)
def test_linear_scan_equals_mambapys_parallel_scan(path: str) -> None:
    pscan = pytest.importorskip("mambapy.pscan", reason="extra [peers]").pscan
    gate, x = torch.sigmoid(normal(2, 32, 12) + 2.0), normal(2, 32, 12, seed=1)
    # theirs is [B, L, D, N]
    agree(
        lambda a, b: linear_scan(a, b, path=path)[0],
        lambda a, b: pscan(a.unflatten(2, (3, 4)), b.unflatten(2, (3, 4))).flatten(2),
        gate,
        x,
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("form", ["naive_chunk_simple_gla", "naive_recurrent_simple_gla"])
def test_gated_linear_equals_flash_linear_attention(form: str, path: str) -> None:
    naive = getattr(pytest.importorskip("fla.ops.simple_gla.naive", reason="extra [peers]"), form)
    q, k, v = (normal(2, 3, 70, 8, seed=seed) for seed in range(3))
    gate, state = logsigmoid(normal(2, 3, 70, seed=3) + 2.0), normal(2, 3, 8, 8, seed=4)

    def theirs(*given: torch.Tensor) -> Any:
        turned = [tensor.transpose(1, 2) for tensor in given[:4]]
        return naive(*turned, scale=1.0, initial_state=given[4], output_final_state=True)[0].transpose(1, 2)

    def ours(q: Any, k: Any, v: Any, gate: Any, state: Any) -> Any:
        return gated_linear(q, k, v, gate, None, (state, None, None), path=path)[0]

    agree(ours, theirs, q, k, v, gate, state)


@pytest.mark.parametrize("path", PATHS)
def test_vector_gates_equal_flash_linear_attentions_gla(path: str) -> None:
    naive = pytest.importorskip("fla.ops.gla.naive", reason="extra [peers]").naive_recurrent_gla
    q, k, v = (normal(2, 3, 37, 4, seed=seed) for seed in range(3))
    gate = logsigmoid(normal(2, 3, 37, 4, seed=3) + 2.0)
    agree(
        lambda q, k, v, g: gated_linear(q * 0.5, k, v, g, path=path)[0],  # theirs scales by 4 ** -0.5
        lambda *given: naive(*(tensor.transpose(1, 2) for tensor in given))[0].transpose(1, 2),
        q,
        k,
        v,
        gate,
    )


@pytest.mark.parametrize("path", PATHS)
def test_mlstm_equals_mlstm_kernels(path: str) -> None:
    native = pytest.importorskip("mlstm_kernels.torch.chunkwise.native", reason="extra [peers]")
    q, k, v = (normal(2, 3, 128, 16, seed=seed) for seed in range(3))
    write, forget = normal(2, 3, 128, seed=3), normal(2, 3, 128, seed=4) + 3.0
    agree(
        lambda q, k, v, i, f: gated_linear(q * 0.25, k, v, logsigmoid(f), i, normaliser="mlstm", path=path)[0],
        # their epsilon is not part of the definition
        lambda *given: native.mlstm_chunkwise__native_autograd(*given, eps=0.0, chunk_size=32),
        q,
        k,
        v,
        write,
        forget,
    )


@pytest.mark.parametrize("path", PATHS)
def test_ungated_linear_attention_equals_masked_products(path: str) -> None:
    q, k, v = (normal(2, 3, 70, 6, seed=seed) for seed in range(3))
    agree(
        lambda q, k, v: gated_linear(q, k, v, torch.zeros(2, 3, 70), path=path)[0],
        lambda q, k, v: (q @ k.mT).tril() @ v,
        q,
        k,
        v,
    )


@pytest.mark.parametrize("path", PATHS)
def test_prefix_softmax_equals_causal_attention_with_one_query(path: str) -> None:
    score, v = 40.0 * normal(2, 3, 50), normal(2, 3, 50, 8, seed=1)

    def theirs(score: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        mask = torch.full((50, 50), float("-inf")).triu(1)
        query = torch.zeros(2, 3, 50, 1)
        return scaled_dot_product_attention(query, query, v, attn_mask=score[:, :, None] + mask, scale=1.0)

    agree(lambda score, v: prefix_softmax(score, v, path=path)[0], theirs, score, v)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("full", "dilation"), [(True, 1), (True, 3), (False, 2)])
def test_causal_conv_equals_torchs_convolution(full: bool, dilation: int, path: str) -> None:
    x, bias = normal(2, 4, 30), normal(4, seed=2)
    weight = normal(4, 4, 5, seed=1) if full else normal(4, 5, seed=1)

    def theirs(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        taps = weight.flip(-1) if full else weight.flip(-1)[:, None]
        padded = torch.nn.functional.pad(x, (4 * dilation, 0))
        return conv1d(padded, taps, bias, dilation=dilation, groups=1 if full else 4)

    agree(lambda x, w, b: causal_conv(x, w, b, dilation=dilation, path=path)[0], theirs, x, weight, bias)
