"""A kernel is timed through the meter alone, and its answer says which path ran and how exact it was."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from harness.api import registry
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Failure, Measure, Measured
from harness.planning import plan
from harness.runner import run_all
from harness.session import Session
from harness.timing import RunMeter

SMALL = {"B": 2, "T": 70, "N": 3}


def loaded(path: str, **setting: Any) -> Any:
    return registry.create("model", f"kernels/{path}").load(Setting(sources=None, **setting))  # type: ignore[arg-type]


def ask(path: str, request: Measure, **setting: Any) -> Any:
    (answer,) = loaded(path, **setting).measure([request], meter=RunMeter(1))
    return answer


@pytest.mark.parametrize("path", ["reference", "cpu"])
def test_every_call_is_timed_and_the_path_is_named(path: str) -> None:
    answer = ask(path, Measure("linear_scan", SMALL, seed=0, calls=3))
    assert isinstance(answer, Measured)
    assert len(answer.seconds) == 3
    assert min(answer.seconds) > 0
    assert answer.path == path
    assert answer.error < 1e-5


@pytest.mark.parametrize(
    ("peer", "op", "case"),
    [
        ("torch_nn", "fused_rnn", "lstm projected"),
        ("torch_nn", "fused_rnn", "gru projected"),
        ("doubling_scan", "linear_scan", "real"),
        ("doubling_scan", "linear_scan", "no start"),
        ("sdpa", "tree_attention", "causal"),
        ("sdpa", "tree_attention", "tree"),
        ("sdpa", "prefix_softmax", "no state"),
        ("shifted_sums", "causal_conv", "depthwise"),
        ("straightforward", "vandermonde", "complex"),
        ("straightforward", "long_conv", "plain"),
        ("straightforward", "long_conv", "no past"),
    ],
)
def test_a_peer_answers_as_the_definition_does(peer: str, op: str, case: str) -> None:
    answer = ask(peer, Measure(op, {"T": 70}, seed=0, case=case, calls=2))
    assert isinstance(answer, Measured), answer
    assert answer.error < 1e-5
    assert answer.path == peer
    assert min(answer.seconds) > 0


@pytest.mark.parametrize(
    ("peer", "op", "case", "message"),
    [
        ("sdpa", "linear_scan", "", "sdpa has no linear_scan; it has tree_attention, prefix_softmax"),
        ("sdpa", "prefix_softmax", "plain", "take the case 'no state'"),
        ("torch_nn", "fused_rnn", "slstm", "one head that project their input"),
    ],
)
def test_what_a_peer_has_no_answer_for_is_a_failure(peer: str, op: str, case: str, message: str) -> None:
    answer = ask(peer, Measure(op, {"T": 5}, seed=0, case=case))
    assert isinstance(answer, Failure)
    assert message in answer.error


def test_half_precision_is_less_exact_and_within_its_bound() -> None:
    answer = ask("cpu", Measure("linear_scan", SMALL, seed=0), dtype="bfloat16")
    assert 1e-5 < answer.error < 1e-2


def test_a_silent_meter_measures_nothing() -> None:
    (answer,) = loaded("cpu").measure([Measure("linear_scan", SMALL, seed=0, backward=False)], meter=SilentMeter())
    assert set(answer.seconds) == {0.0}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Measure("linear_scna", SMALL, seed=0), "no kernel named 'linear_scna'. Did you mean 'linear_scan'?"),
        (Measure("linear_scan", SMALL, seed=0, case="odd"), "linear_scan has no case 'odd'; it has real, complex"),
    ],
)
def test_what_cannot_be_measured_is_a_failure_with_its_reason(request_: Measure, message: str) -> None:
    answer = ask("cpu", request_)
    assert isinstance(answer, Failure)
    assert message in answer.error


def test_a_run_of_a_kernel_ends_in_seconds_and_error(tmp_path: Path) -> None:
    cells = plan(["kernels/linear_scan:test=2,length=70,calls=2"], ["kernels/cpu"]).cells
    (outcome,) = run_all(cells, Session(sources=None, out=tmp_path))  # type: ignore[arg-type]
    assert outcome.error is None
    assert outcome.finished is not None
    result = outcome.finished.result
    assert result.headline == "call_seconds"
    assert result.metrics["call_seconds"].n == 2
    assert 0 < result.metrics["call_seconds"].value < 10
    assert result.metrics["reference_error"].value < 1e-5


def test_every_operation_with_a_speed_task_gives_it_sizes_that_it_knows() -> None:
    for name in registry.names("task"):
        if name.startswith("kernels/"):
            task = registry.create("task", f"{name}:test=1")
            (example,) = task.examples("test", 0, None)
            small = {letter: min(size, 4) for letter, size in example.requests[0].size.items()}
            answer = ask("cpu", dataclasses.replace(example.requests[0], size=small, calls=1))
            assert isinstance(answer, Measured), answer
