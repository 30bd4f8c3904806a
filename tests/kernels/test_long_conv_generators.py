"""Generators of long filters against the powers that define them; masks against attention with a dense mask."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from harness.api.errors import UsageError
from harness.kernels._contract import relative_error
from harness.kernels._dispatch import operation
from harness.kernels.long_conv import _generators
from harness.kernels.tree_attention import _masks


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
