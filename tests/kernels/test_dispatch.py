"""The device picks the path, a path may be asked for, and nothing falls back in silence."""

import pytest
import torch

from harness.api.errors import HarnessError, UsageError
from harness.kernels import _dispatch
from harness.kernels._dispatch import operation, ran

linear_scan = operation("linear_scan")
GATE, X = torch.full((1, 3, 2), 0.5), torch.ones(1, 3, 2)


def test_cpu_tensors_take_the_cpu_path() -> None:
    with ran() as paths:
        h_BTN, last_BN = linear_scan(GATE, X)
    assert paths == {"linear_scan": {"cpu"}}
    assert h_BTN[0, :, 0].tolist() == [1.0, 1.5, 1.75]
    assert last_BN[0].tolist() == [1.75, 1.75]


def test_nested_records_both_see_what_ran_inside() -> None:
    with ran() as outer:
        linear_scan(GATE, X)
        with ran() as inner:
            linear_scan(GATE, X, path="reference")
    assert inner == {"linear_scan": {"reference"}}
    assert outer == {"linear_scan": {"cpu", "reference"}}


def test_a_refused_call_is_not_recorded() -> None:
    with ran() as paths, pytest.raises(UsageError):
        linear_scan(GATE, X[:, :2])
    assert paths == {}


def test_the_gpu_path_refuses_cpu_tensors_without_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(UsageError, match=r"^linear_scan: the gpu path needs cuda tensors.*TRITON_INTERPRET=1"):
        linear_scan(GATE, X, path="gpu")


def test_a_missing_triton_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_triton(name: str) -> None:
        raise ModuleNotFoundError("No module named 'triton'", name="triton")

    monkeypatch.setattr(_dispatch.importlib, "import_module", without_triton)
    with pytest.raises(HarnessError, match=r"linear_scan: the gpu path needs triton.*seqharness\[gpu\]"):
        _dispatch._module.__wrapped__("linear_scan", "gpu")


def test_an_import_error_of_our_own_is_not_mistaken_for_a_missing_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ModuleNotFoundError("No module named 'einops'", name="einops")

    monkeypatch.setattr(_dispatch.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="einops"):
        _dispatch._module.__wrapped__("linear_scan", "cpu")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_scan(GATE, X, path="tpu"), "no path named 'tpu'; choose one of reference, cpu, gpu"),
        (lambda: linear_scan(GATE), "missing a required argument: 'x_BTN'"),
        (lambda: linear_scan([1.0], [2.0]), "no argument is a tensor"),
        (lambda: linear_scan(GATE.to("meta"), X), "gate_BTN is on meta but x_BTN is on cpu; move them to one device"),
        (lambda: linear_scan(GATE.to("meta"), X.to("meta")), "no path runs on device 'meta'"),
        (lambda: operation("linear_scna")(GATE, X), "no operation named 'linear_scna'"),
        (
            lambda: linear_scan(GATE[:, :2], X),
            r"gate is \(1, 2, 2\) but x is \(1, 3, 2\); their T must match",
        ),
        (lambda: linear_scan(GATE[0], X), r"gate is \(3, 2\); it must have 3 axes \(B, T, N\)"),
        (lambda: linear_scan(GATE, X.double()), "gate is float32 but x is float64; cast one"),
        (lambda: linear_scan(GATE, X.long()), "x is int64; it must be floating point"),
        (lambda: linear_scan(GATE, X.to(torch.complex64)), "gate is float32 but x is complex64; cast one"),
        (lambda: linear_scan(GATE, X, X[:, 0].double()), "start is float64; it must be float32"),
    ],
)
def test_a_wrong_call_is_one_line_that_says_what_to_do(call: object, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_half_types_carry_state_in_float32() -> None:
    h_BTN, last_BN = linear_scan(GATE.bfloat16(), X.bfloat16())
    assert (h_BTN.dtype, last_BN.dtype) == (torch.bfloat16, torch.float32)
    again, _ = linear_scan(GATE.bfloat16(), X.bfloat16(), last_BN)
    assert again[0, 0, 0].item() == pytest.approx(1.875, rel=1e-2)
