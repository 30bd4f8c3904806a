"""Are xLSTM's blocks placed, started and kept finite as the papers say?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from harness.api.errors import UsageError
from harness.models.sequence._mixer import Site
from harness.models.sequence.mlstm import MatrixLSTM
from harness.models.sequence.xlstm import XLSTM, MatrixBlock, ScalarBlock


@pytest.mark.parametrize(
    ("matrix", "scalar", "expected"), [(1, 1, "msmsms"), (2, 1, "mmsmms"), (1, 0, "mmmmmm"), (0, 1, "ssssss")]
)
def test_blocks_follow_the_ratio(matrix: int, scalar: int, expected: str) -> None:
    made = [XLSTM(matrix=matrix, scalar=scalar).mixer(Site(8, layer, 6)) for layer in range(6)]
    assert "".join("m" if isinstance(mixer, MatrixBlock) else "s" for mixer in made) == expected


def test_a_ratio_of_nothing_to_nothing_is_an_error() -> None:
    with pytest.raises(UsageError, match="not both 0"):
        XLSTM(matrix=0, scalar=0).mixer(Site(8))


@pytest.mark.parametrize(("matrix", "scalar"), [(1, 0), (0, 1)])
def test_each_block_by_steps_is_the_block_in_parallel(
    disagreement: Callable[..., float], matrix: int, scalar: int
) -> None:
    assert disagreement(XLSTM(matrix=matrix, scalar=scalar).mixer(Site(8)), 8) < 1e-9


def test_the_first_channel_remembers_and_the_last_forgets() -> None:
    made = XLSTM(matrix=0).mixer(Site(16, 0, 2))
    assert isinstance(made, ScalarBlock)
    assert made.bias[1, 0, 0] == 5
    assert made.bias[1, 0, -1] == -7
    assert not made.recurrent.any()


def test_the_7b_layer_has_its_published_start_and_a_state_that_does_not_grow() -> None:
    made = XLSTM(design="7b").mixer(Site(32))
    assert isinstance(made, MatrixLSTM)
    assert made.gates.bias.tolist() == [-10.0] * 4 + [3.0, 4.0, 5.0, 6.0]
    assert made.state_bytes(1_000) == made.state_bytes(100_000) == 4 * 4 * (4 * 8 + 4 + 1)


def test_gates_of_the_7b_layer_never_pass_the_cap_of_15() -> None:
    made = XLSTM(design="7b").mixer(Site(8)).double()
    assert isinstance(made, MatrixLSTM)
    made.gates.weight.normal_(std=100.0)
    x = torch.randn(1, 50, 8, dtype=torch.float64)
    assert float(made.gates(x).abs().max()) > 60
    assert float(made.capped(x).abs().max()) <= 15
    assert bool(made(x)[0].isfinite().all())


def test_the_matrix_block_stays_finite_where_exponential_gates_overflow() -> None:
    made = XLSTM(scalar=0).mixer(Site(8))
    assert isinstance(made, MatrixBlock)
    made.gates.bias[:4] = 200.0  # exp(200) is beyond float32
    assert bool(made(torch.randn(1, 30, 8))[0].isfinite().all())


def test_parameters_of_a_matrix_block_have_a_closed_form() -> None:
    d, e, heads = 16, 32, 4
    expected = d * 2 * e + (4 * e + e) + 3 * 4 * e + (3 * e * 2 * heads + 2 * heads) + e + e + e * d
    assert sum(item.numel() for item in XLSTM(scalar=0).mixer(Site(d)).parameters()) == expected
