"""What is peculiar to gated linear attention: its normalisers, its state of three parts, and its limits."""

from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid

from harness.api.errors import UsageError
from harness.kernels._contract import relative_error
from harness.kernels._dispatch import operation

gated_linear = operation("gated_linear")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_one_write_is_read_back_by_its_own_key() -> None:
    key = torch.tensor([1.0, 0.0])
    q, k, v = key.expand(1, 1, 3, 2), torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, 1)
    k = torch.cat((key.view(1, 1, 1, 2), k[:, :, 1:]), 2)
    v = torch.cat((torch.full((1, 1, 1, 1), 7.0), v[:, :, 1:]), 2)
    y, _ = gated_linear(q, k, v, torch.full((1, 1, 3), 0.5).log())
    assert y.flatten().tolist() == pytest.approx([7.0, 3.5, 1.75])


def test_the_sum_normaliser_of_equal_keys_is_the_running_mean() -> None:
    ones, v = torch.ones(1, 1, 5, 2), torch.tensor([1.0, 3.0, 5.0, 7.0, 9.0]).view(1, 1, 5, 1)
    y, _ = gated_linear(ones, ones, v, torch.zeros(1, 1, 5), normaliser="sum")
    assert y.flatten().tolist() == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0])


@pytest.mark.parametrize("path", ["reference", "cpu"])
def test_input_gates_of_zero_in_front_change_nothing(path: str) -> None:
    q, k, v = (normal(1, 2, 9, 4, seed=seed) for seed in range(3))
    forget, write = logsigmoid(normal(1, 2, 9, seed=3)), normal(1, 2, 9, seed=4)
    write[..., :4] = -torch.inf
    padded, _ = gated_linear(q, k, v, forget, write, normaliser="mlstm", path=path)
    parts = (q[:, :, 4:], k[:, :, 4:], v[:, :, 4:], forget[..., 4:], write[..., 4:])
    alone, _ = gated_linear(*parts, normaliser="mlstm", path=path)
    assert padded[:, :, :4].abs().max() == 0.0
    assert torch.allclose(padded[:, :, 4:], alone, atol=1e-6)


def test_the_stabiliser_survives_gates_that_overflow_without_it() -> None:
    q, k, v = (normal(1, 2, 100, 8, seed=seed) for seed in range(3))
    forget, write = logsigmoid(normal(1, 2, 100, seed=3)), 60.0 * normal(1, 2, 100, seed=4)
    stable, _ = gated_linear(q, k, v, forget, write, normaliser="mlstm")
    plain, _ = gated_linear(q, k, v, forget, write)
    assert torch.isfinite(stable).all()
    assert not torch.isfinite(plain).all()


def test_gates_of_every_size_mixed_within_a_chunk_keep_their_precision() -> None:
    inputs = [normal(1, 2, 200, 8, seed=seed) for seed in range(3)]
    forget = logsigmoid(30.0 * normal(1, 2, 200, seed=3))
    truth, _ = gated_linear(*(tensor.double() for tensor in (*inputs, forget)), path="reference")
    answer, _ = gated_linear(*inputs, forget)
    assert relative_error(answer, truth) < 2e-6


def test_the_state_has_the_parts_that_its_normaliser_needs() -> None:
    q, k, v, forget = normal(1, 2, 3, 4), normal(1, 2, 3, 4), normal(1, 2, 3, 5), torch.zeros(1, 2, 3)
    shapes = {
        normaliser: [None if part is None else tuple(part.shape) for part in gated_linear(q, k, v, forget, normaliser=
                     normaliser)[1]]
        for normaliser in ("none", "sum", "mlstm")
    }  # fmt: skip
    assert shapes["none"] == [(1, 2, 4, 5), None, None]
    assert shapes["sum"] == [(1, 2, 4, 5), (1, 2, 4), None]
    assert shapes["mlstm"] == [(1, 2, 4, 5), (1, 2, 4), (1, 2)]


def call(path: str | None = None, keys: int = 4, **changed: Any) -> None:
    given = {
        "q_BHTK": normal(1, 2, 3, keys),
        "k_BHTK": normal(1, 2, 3, keys),
        "v_BHTV": normal(1, 2, 3, 5),
        "log_forget": torch.zeros(1, 2, 3),
    }
    gated_linear(**{**given, **changed}, path=path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"normaliser": "max"}, "no normaliser named 'max'; choose none, sum or mlstm"),
        (
            {"normaliser": "mlstm", "log_forget": torch.zeros(1, 2, 3, 4)},
            r"normaliser mlstm takes one gate a head; log_forget is \(1, 2, 3, 4\)",
        ),
        ({"state": (normal(1, 2, 4, 5),)}, "state has 1 parts; it must have three"),
        ({"state": (normal(1, 2, 4, 5), normal(1, 2, 4), None)}, "state holds S, n; normaliser none needs S alone"),
        ({"state": (normal(1, 2, 4, 6), None, None)}, r"their V must match"),
        ({"log_input_BHT": torch.zeros(1, 2, 4)}, r"log_input is \(1, 2, 4\); their T must match"),
        ({"v_BHTV": normal(1, 2, 3, 5).to(torch.complex64)}, "v is complex64; it must be real"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^gated_linear: .*{message}") as caught:
        call(**changed)
    assert "\n" not in str(caught.value)


def test_a_head_too_wide_for_the_gpu_names_the_limit_and_the_path_that_can() -> None:
    pytest.importorskip("triton", reason="extra [gpu]")
    with pytest.raises(
        UsageError, match=r"keys are 160 wide but the gpu path holds at most 128.*path='reference'.*cpu"
    ):
        call(path="gpu", keys=160)
    call(path="cpu", keys=160)
