"""Every operation, on every path that this machine can run, against its own float64 reference."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from harness.api import registry
from harness.api.errors import UsageError
from harness.kernels._ahead_of_time import SHARED_LIMIT
from harness.kernels._contract import TOLERANCE, relative_error
from harness.kernels._dispatch import operation, ran, tensors

if not torch.cuda.is_available():
    # before triton is first imported, which the gpu paths do when they are first called
    os.environ.setdefault("TRITON_INTERPRET", "1")

NAMES = registry.names("kernel")
TRUTH = {op: importlib.import_module(registry.card("kernel", op).module) for op in NAMES}
# one that lacks what these tests need fails the test of just that
OPS = [op for op in NAMES if {"CONTRACT", "inputs", "check"} <= set(vars(TRUTH[op]))]
CUDA = torch.cuda.is_available()
TRITON = importlib.util.find_spec("triton") is not None


def fast_paths(op: str) -> list[str]:
    return [path for path in operation(op).paths() if path != "reference"]


def device_of(path: str) -> str:
    if path == "gpu" and not TRITON:
        pytest.skip("triton is not installed: the gpu path cannot run (extra [gpu])")
    return "cuda" if path == "gpu" and CUDA else "cpu"


@pytest.mark.parametrize("op", NAMES)
def test_a_reference_states_its_contract_and_makes_its_inputs(op: str) -> None:
    assert {"CONTRACT", "inputs", "check"} <= set(vars(TRUTH[op]))


def lengths(op: str, path: str, case: str) -> tuple[int, ...]:
    contract = TRUTH[op].CONTRACT
    if path == "cpu" or CUDA:
        return tuple(contract.lengths)
    # the interpreter runs a program at a time: the first case crosses block borders, the others tell variants apart
    return (0, 1, contract.gpu_length) if case == contract.cases[0] else (1, min(19, contract.gpu_length))


def points(kind: str) -> Iterator[Any]:
    """Every (op, path, dtype, case, length) that must equal the reference."""
    for op in OPS:
        contract = TRUTH[op].CONTRACT
        for path in fast_paths(op):
            for dtype in contract.dtypes:
                for case in contract.cases if kind == "equal" else contract.extremes:
                    if case == "complex" and dtype != torch.float32:
                        continue  # torch has no complex half arithmetic
                    first = case == contract.cases[0]
                    for length in lengths(op, path, case):
                        # half types differ from float32 in rounding alone: one case carries them through all lengths
                        if dtype != torch.float32 and not first and length not in (1, 65):
                            continue
                        # under the interpreter the empty and the single step are float32's alone
                        interpreted = path == "gpu" and not CUDA
                        if interpreted and dtype != torch.float32 and length < contract.gpu_length and first:
                            continue
                        # a thousand reference steps of every further case would cost minutes and find nothing new
                        if length == 1000 and not first:
                            continue
                        if kind == "extreme" and (
                            dtype != torch.float32 or length not in (65, 19, contract.gpu_length)
                        ):
                            continue
                        name = f"{op}-{path}-{str(dtype)[6:]}-{case.replace(' ', '_')}-{length}"
                        yield pytest.param(op, path, dtype, case, length, id=name)


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Fill every uninitialised allocation with NaN, so that an output never written is seen."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


def rounded(value: Any, dtype: torch.dtype) -> Any:
    """Floating tensors of nested arguments in another precision; complex ones keep a complex type."""
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            return value.to({torch.float32: torch.complex64, torch.float64: torch.complex128}[dtype])
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(rounded(item, dtype) for item in value)
    return value


def leaves(value: Any, device: str, view: Callable[[torch.Tensor], Any], found: list[torch.Tensor]) -> Any:
    """Nested arguments whose floating tensors are views of fresh leaves, which are collected in order."""
    if isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex()) and value.ndim:
        leaf, as_argument = view(value)
        leaf = leaf.detach().to(device).clone(memory_format=torch.contiguous_format).requires_grad_()
        found.append(leaf)
        return as_argument(leaf)
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(leaves(item, device, view, found) for item in value)
    return value


def plain(tensor: torch.Tensor) -> Any:
    return tensor, lambda leaf: leaf.view_as(leaf)


def every_second(tensor: torch.Tensor) -> Any:
    wide = torch.zeros(*tensor.shape[:-1], 2 * tensor.shape[-1] + 1, dtype=tensor.dtype)
    wide[..., 1::2] = tensor
    return wide, lambda leaf: leaf[..., 1::2]


def transposed(tensor: torch.Tensor) -> Any:
    return tensor.transpose(0, -1), lambda leaf: leaf.transpose(0, -1)


def one_for_all(tensor: torch.Tensor) -> Any:
    return tensor[:1], lambda leaf: leaf.expand(tensor.shape)


def answers(
    op: str, arguments: dict[str, Any], path: str, view: Callable[[torch.Tensor], Any] = plain, seed: int = 7
) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
    """Outputs, and the gradient of every floating argument for random cotangents that all paths share."""
    found: list[torch.Tensor] = []
    device = device_of(path)
    placed = {name: leaves(value, device, view, found) for name, value in arguments.items()}
    outputs = list(tensors(operation(op)(**placed, path=path)))
    followed = [output for output in outputs if output.requires_grad]
    if not followed:
        return [output.cpu() for output in outputs], [None] * len(found)
    rng = torch.Generator().manual_seed(seed)
    cotangents = []
    for output in followed:
        kind = torch.complex128 if output.is_complex() else torch.float64
        exact = torch.randn(output.shape, generator=rng, dtype=kind)
        # rounding to bfloat16 first gives every precision the same cotangent
        real = torch.view_as_real(exact) if output.is_complex() else exact
        real = real.to(torch.bfloat16).to(torch.float64)
        exact = torch.view_as_complex(real) if output.is_complex() else real
        cotangents.append(exact.to(output.dtype).to(device))
    gradients = torch.autograd.grad(followed, found, cotangents, allow_unused=True)
    return [output.detach().cpu() for output in outputs], [item if item is None else item.cpu() for item in gradients]


def errors(op: str, path: str, dtype: torch.dtype, arguments: dict[str, Any], view: Any = plain) -> dict[str, float]:
    """Relative error of each output and each gradient; truth is float64 from the same rounded arguments."""
    low = {name: rounded(value, dtype) for name, value in arguments.items()}
    high = {name: rounded(value, torch.float64) for name, value in low.items()}
    truth, truth_gradients = answers(op, high, "reference", view)
    got, got_gradients = answers(op, low, path, view)
    assert len(got) == len(truth), f"{len(got)} outputs, reference has {len(truth)}"
    seen = {f"output {i}": relative_error(a, b) for i, (a, b) in enumerate(zip(got, truth, strict=True))}
    names = [
        name
        for name, value in arguments.items()
        for item in tensors(value)
        if item.is_floating_point() or item.is_complex()
    ]
    largest = max((float(torch.linalg.vector_norm(item)) for item in truth_gradients if item is not None), default=0.0)
    for name, answer, wanted in zip(names, got_gradients, truth_gradients, strict=True):
        if wanted is None or not wanted.any():
            # a gradient of exactly zero has no scale of its own: rounding may leave a trace of the largest one
            rest = 0.0 if answer is None else float(torch.linalg.vector_norm(answer))
            seen[f"gradient of {name}"] = 0.0 if rest == 0.0 else rest / largest if largest else float("inf")
        elif answer is None:
            seen[f"gradient of {name}"] = float("inf")
        else:
            seen[f"gradient of {name}"] = relative_error(answer, wanted)
    return seen


def beyond(seen: dict[str, float], dtype: torch.dtype) -> dict[str, float]:
    return {name: error for name, error in seen.items() if not error <= TOLERANCE[dtype]}


def example(op: str, case: str = "", **size: int) -> dict[str, Any]:
    case = case or TRUTH[op].CONTRACT.cases[0]
    arguments: dict[str, Any] = TRUTH[op].inputs(size, seed=len(op) + sum(size.values()), case=case)
    return arguments


def each_path() -> Iterator[Any]:
    for op in OPS:
        for path in fast_paths(op):
            yield pytest.param(op, path, id=f"{op}-{path}")


def test_an_allocation_is_poisoned_in_these_tests() -> None:
    assert torch.empty(8).isnan().all()


@pytest.mark.parametrize(("op", "path", "dtype", "case", "length"), list(points("equal")))
def test_outputs_and_gradients_equal_the_reference(
    op: str, path: str, dtype: torch.dtype, case: str, length: int
) -> None:
    seen = errors(op, path, dtype, example(op, case, T=length))
    assert not beyond(seen, dtype), seen


@pytest.mark.parametrize("view", [every_second, transposed, one_for_all], ids=lambda view: view.__name__)
@pytest.mark.parametrize(("op", "path"), list(each_path()))
def test_strided_and_broadcast_arguments_change_nothing(op: str, path: str, view: Any) -> None:
    seen = errors(op, path, torch.float32, example(op), view)
    assert not beyond(seen, torch.float32), seen


@pytest.mark.parametrize(("op", "path", "dtype", "case", "length"), list(points("extreme")))
def test_extreme_gates_stay_finite(op: str, path: str, dtype: torch.dtype, case: str, length: int) -> None:
    arguments = {name: rounded(value, dtype) for name, value in example(op, case, T=length).items()}
    outputs, gradients = answers(op, arguments, path)
    for tensor in [*outputs, *(item for item in gradients if item is not None)]:
        assert torch.isfinite(tensor).all()
    truth, _ = answers(op, {name: rounded(value, torch.float64) for name, value in arguments.items()}, "reference")
    seen = {f"output {i}": relative_error(a, b) for i, (a, b) in enumerate(zip(outputs, truth, strict=True))}
    assert not beyond(seen, dtype), seen


@pytest.mark.parametrize("case_index", [0, 1])
@pytest.mark.parametrize(("op", "path"), list(each_path()))
def test_a_sequence_split_twice_continues_from_its_state(op: str, path: str, case_index: int) -> None:
    contract = TRUTH[op].CONTRACT
    if not contract.state:
        pytest.skip(f"{op} carries no state")
    case = contract.cases[min(case_index, len(contract.cases) - 1)]
    arguments = {name: rounded(value, torch.float32) for name, value in example(op, case).items()}
    device = device_of(path)
    length = contract.toy["T"]
    cuts = sorted(torch.randperm(length + 1, generator=torch.Generator().manual_seed(case_index))[:2].tolist())
    whole = list(
        tensors(operation(op)(**{name: leaves(v, device, plain, []) for name, v in arguments.items()}, path=path))
    )
    parts, last = [], arguments[contract.state]
    for begin, end in zip([0, *cuts], [*cuts, length], strict=True):
        piece = {
            name: value.narrow(contract.time[name], begin, end - begin) if name in contract.time else value
            for name, value in arguments.items()
        }
        piece[contract.state] = last
        answer, last = operation(op)(**piece, path=path)[:2]
        parts.append(answer)
    joined = [torch.cat(parts, contract.time["return"]), *tensors(last)]
    seen = {f"output {i}": relative_error(a, b) for i, (a, b) in enumerate(zip(joined, whole, strict=True))}
    assert not beyond(seen, torch.float32), seen


@pytest.mark.parametrize("op", OPS)
def test_gradcheck_agrees_with_finite_differences(op: str) -> None:
    contract = TRUTH[op].CONTRACT
    for case in contract.cases:
        arguments = example(op, case, T=min(4, contract.toy["T"]))
        # what the reference holds constant (a stabiliser's scale) has no gradient to compare
        _, wanted = answers(op, arguments, "reference")
        found: list[torch.Tensor] = []
        for value in arguments.values():
            leaves(value, "cpu", plain, found)
        constant = [gradient is None for gradient in wanted]
        varied = [leaf for leaf, fixed in zip(found, constant, strict=True) if not fixed]

        def answer(*given: torch.Tensor, arguments: dict[str, Any] = arguments, constant: Any = constant) -> Any:
            queue, fixed = iter(given), iter(constant)

            def replaced(tensor: torch.Tensor) -> Any:
                return tensor, lambda fresh: fresh.detach() if next(fixed) else next(queue)

            placed = {name: leaves(value, "cpu", replaced, []) for name, value in arguments.items()}
            return next(tensors(operation(op)(**placed, path="cpu")))

        assert torch.autograd.gradcheck(answer, varied, fast_mode=True), case


@pytest.mark.parametrize(("op", "path"), list(each_path()))
def test_a_gate_off_by_one_percent_is_seen(op: str, path: str) -> None:
    arguments = {name: rounded(value, torch.float32) for name, value in example(op).items()}
    truth, _ = answers(op, {name: rounded(value, torch.float64) for name, value in arguments.items()}, "reference")
    name = TRUTH[op].CONTRACT.gate
    moved = arguments[name].clone()
    at = moved.abs().flatten()[: moved.numel() // 2].argmax()
    moved.view(-1)[at] *= 1.01
    outputs, _ = answers(op, {**arguments, name: moved}, path)
    seen = {f"output {i}": relative_error(a, b) for i, (a, b) in enumerate(zip(outputs, truth, strict=True))}
    assert beyond(seen, torch.float32), seen


@pytest.mark.parametrize(("op", "path"), list(each_path()))
def test_a_result_knows_which_path_ran(op: str, path: str) -> None:
    arguments = {name: leaves(v, device_of(path), plain, []) for name, v in example(op).items()}
    with ran() as paths:
        operation(op)(**{name: rounded(value, torch.float32) for name, value in arguments.items()}, path=path)
    assert paths == {op: {"interpreter" if path == "gpu" and not CUDA else path}}


def spoilt(op: str) -> Iterator[tuple[str, dict[str, Any]]]:
    arguments = example(op)
    name = TRUTH[op].CONTRACT.gate
    gate = arguments[name]
    yield "axes", {**arguments, name: gate[0]}
    # a lone floating argument may have any width and precision
    if sum(tensor.is_floating_point() or tensor.is_complex() for tensor in tensors(arguments)) > 1:
        yield "shape", {**arguments, name: gate.narrow(-1, 0, gate.shape[-1] - 1)}
        yield "precision", {**arguments, name: gate.to(torch.float32)}
    yield "integers", {**arguments, name: gate.to(torch.int64)}
    yield "device", {**arguments, name: gate.to("meta")}
    if "complex" not in TRUTH[op].CONTRACT.cases:
        yield "complex", {**arguments, name: gate.to(torch.complex128)}


@pytest.mark.parametrize("op", OPS)
def test_bad_input_is_one_line_from_the_operation_that_was_called(op: str) -> None:
    for what, arguments in spoilt(op):
        with pytest.raises(UsageError) as caught:
            operation(op)(**arguments)
        message = str(caught.value)
        assert message.startswith(f"{op}: "), (what, message)
        assert "\n" not in message, what


def compiled(*arguments: str) -> list[dict[str, Any]]:
    if not TRITON:
        pytest.skip("triton is not installed: nothing compiles (extra [gpu])")
    # the interpreter replaces the compiler for a whole process, so the compiler gets one of its own
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "harness.kernels._ahead_of_time", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    built = [json.loads(line) for line in done.stdout.splitlines()]
    for item in built:
        assert item["shared"] <= SHARED_LIMIT[item["capability"]], item
    return built


def test_a_gpu_kernel_of_every_operation_compiles_ahead_of_time() -> None:
    ops = [op for op in OPS if "gpu" in fast_paths(op)]
    built = compiled("--first", *ops)
    assert [(item["op"], item["capability"]) for item in built] == [(op, each) for op in ops for each in SHARED_LIMIT]


@pytest.mark.slow
@pytest.mark.parametrize("op", OPS)
def test_gpu_kernels_compile_ahead_of_time_and_fit_shared_memory(op: str) -> None:
    if "gpu" not in fast_paths(op):
        pytest.skip(f"{op} has no gpu path")
    built = compiled(op)
    assert {item["capability"] for item in built} == set(SHARED_LIMIT)
