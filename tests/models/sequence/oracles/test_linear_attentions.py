"""Are linear attention and Performer the recurrences of fla and performer-pytorch on the same queries and keys?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from harness.models.sequence._mixer import Site
from harness.models.sequence.linear_attention import KernelAttention, LinearAttention
from harness.models.sequence.performer import Performer, RandomFeatureAttention

WIDTH, LENGTH, HEADS = 12, 25, 3


def heads(made: Any, x: Tensor) -> tuple[Tensor, ...]:
    """Queries, keys and values [B, T, H, E]."""
    return tuple(part.unflatten(-1, (HEADS, -1)) for part in (x @ made.project.weight.T).chunk(3, -1))


def test_linear_attention_is_flas_recurrence(largest: Callable[[Any, Any], float]) -> None:
    naive = pytest.importorskip("fla.ops.linear_attn.naive", reason="peers extra is not installed")
    made = LinearAttention(heads=HEADS).mixer(Site(WIDTH))
    assert isinstance(made, KernelAttention)
    x = torch.randn(2, LENGTH, WIDTH)
    q, k, v = heads(made, x)
    y, _ = naive.naive_recurrent_linear_attn(functional.elu(q) + 1, functional.elu(k) + 1, v, scale=1.0, normalize=True)
    assert largest(made(x)[0], made.out(y.flatten(2))) < 1e-6


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_performer_is_causal_attention_with_performer_pytorchs_features(
    largest: Callable[[Any, Any], float], scale: float
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it compares versions with distutils
        theirs = pytest.importorskip("performer_pytorch.performer_pytorch", reason="oracles extra is not installed")
    made = Performer(heads=HEADS, features=10).mixer(Site(WIDTH)).double()
    assert isinstance(made, RandomFeatureAttention)
    x = scale * torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    q, k, v = (part.transpose(1, 2) for part in heads(made, x))
    q, k = (
        theirs.softmax_kernel(part, projection_matrix=made.omega_EM.T, is_query=query, eps=0.0)
        for part, query in ((q, True), (k, False))
    )
    y = theirs.causal_linear_attention_noncuda(q, k, v, eps=0.0)
    assert largest(made(x)[0], made.out(y.transpose(1, 2).flatten(2))) < 1e-10


def test_the_features_are_drawn_as_performer_pytorchs_are() -> None:
    made = Performer(heads=1, features=4000).mixer(Site(8))
    assert isinstance(made, RandomFeatureAttention)
    blocks = made.omega_EM.T.unflatten(0, (-1, 8))
    products = torch.einsum("bme,bne->bmn", blocks, blocks)
    # orthogonal within a block, as long as Gaussian vectors: E |w|^2 = 8, variance 16
    assert float((products - torch.diag_embed(products.diagonal(dim1=1, dim2=2))).abs().max()) < 1e-4
    lengths = products.diagonal(dim1=1, dim2=2).flatten()
    assert float(lengths.mean()) == pytest.approx(8.0, abs=0.3)
    assert float(lengths.var()) == pytest.approx(16.0, abs=2.0)
