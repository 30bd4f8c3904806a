"""How is an operation timed on one path? Drawn inputs, one untimed call, then calls within the meter's spans.

A path is one of the operation's own (reference, cpu, gpu), or a peer: code that nobody here wrote, or the form that one
would write first, as a function with the operation's arguments and outputs.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, final

import torch

from harness import kernels
from harness.api import registry
from harness.api.errors import HarnessError, UsageError
from harness.api.protocols import Meter, Setting
from harness.api.types import Failure, Measure, Measured, Request, Response
from harness.kernels._contract import relative_error
from harness.kernels._dispatch import operation, ran, tensors

# operation -> the same arguments, the same outputs
Answers = Mapping[str, Callable[..., Any]]
COMPARED = 64  # time steps on which a path is compared with its sequential definition
DTYPES = {"auto": torch.float32, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@final
class Stopwatch:
    """A path of all operations that answers at the `measure` door."""

    def __init__(self, path: str, setting: Setting, answers: Answers | None = None) -> None:
        self.path, self.device, self.dtype = path, setting.device, DTYPES[setting.dtype]
        self.answers = answers  # a peer's; None for the operations' own paths

    @property
    def identity(self) -> Mapping[str, Any]:
        """Path, precision and threads."""
        precision = str(self.dtype).removeprefix("torch.")
        threads = torch.get_num_threads()
        return {"backend": "torch", "device": self.device, "path": self.path, "dtype": precision, "threads": threads}

    def size(self, request: Request) -> int:
        """More than a batch holds, so that every request is a door call of its own."""
        return 1 << 30

    def measure(self, requests: Sequence[Measure], *, meter: Meter) -> list[Response]:
        """Time each request; one that the path refuses is a Failure with its reason."""
        responses: list[Response] = []
        for request in requests:
            try:
                responses.append(self._measured(request, meter))
            except HarnessError as problem:
                responses.append(Failure(str(problem)))
        return responses

    def _measured(self, request: Measure, meter: Meter) -> Measured:
        registry.resolve("kernel", request.operation)
        if self.answers is not None and request.operation not in self.answers:
            raise UsageError(f"{self.path} has no {request.operation}; it has {', '.join(self.answers)}.")
        call = self._call(self._inputs(request, request.size), self.path, request)
        with meter.span("warm_up"), ran() as paths:
            call()
        seconds = []
        for _ in range(request.calls):
            # a span begins and ends with the device idle
            with meter.span("idle"):
                start = meter.elapsed()
            with meter.span("call"):
                call()
            seconds.append(meter.elapsed() - start)
        with meter.span("compare"):
            error = self._error(request)
        return Measured(tuple(seconds), error, "+".join(sorted(paths.get(request.operation, {self.path}))))

    def _error(self, request: Measure) -> float:
        inputs = self._inputs(request, {**request.size, "T": min(COMPARED, request.size.get("T", COMPARED))})
        exact = {name: _cast(value, torch.float64) for name, value in inputs.items()}
        truth = self._call(exact, "reference", request)()
        found = self._call(inputs, self.path, request)()
        pairs = zip(found, truth, strict=True)
        return max(
            relative_error(answer, wanted) for answer, wanted in pairs if answer is not None and wanted is not None
        )

    def _inputs(self, request: Measure, size: Mapping[str, int]) -> dict[str, Any]:
        truth = importlib.import_module(registry.card("kernel", request.operation).module)
        case = request.case or truth.CONTRACT.cases[0]
        if case not in truth.CONTRACT.cases + truth.CONTRACT.extremes:
            raise UsageError(f"{request.operation} has no case {case!r}; it has {', '.join(truth.CONTRACT.cases)}.")
        drawn = truth.inputs(size, seed=request.seed, case=case)
        return {name: _cast(value, self.dtype, self.device) for name, value in drawn.items()}

    def _call(self, inputs: Mapping[str, Any], path: str, request: Measure) -> Callable[[], list[torch.Tensor | None]]:
        """A call that returns the outputs and, where they are wanted, the gradients of all floating inputs."""
        run: Callable[..., Any] = partial(operation(request.operation), path=path)
        if path == self.path and self.answers is not None:
            run = self.answers[request.operation]
        leaves = [item for item in tensors(inputs) if _varies(item)]
        for leaf in leaves:
            leaf.requires_grad_(request.backward)

        def call() -> list[torch.Tensor | None]:
            outputs = list(tensors(run(**inputs)))
            followed = [output for output in outputs if output.requires_grad]
            if not followed:
                return [*outputs]
            ones = [torch.ones_like(output) for output in followed]
            return [*outputs, *torch.autograd.grad(followed, leaves, ones, allow_unused=True)]

        return call


def fingerprint() -> Mapping[str, str]:
    """The digest of every kernel's source: a kernel that changed is timed anew."""
    total = hashlib.sha256()
    for folder in kernels.__path__:
        for file in sorted(Path(folder).rglob("*.py")):
            total.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return {"kernels": total.hexdigest()[:16]} | dict(threads())


def threads() -> Mapping[str, str]:
    """All that a peer's time depends on besides what every signature holds."""
    return {"threads": str(torch.get_num_threads())}


def _varies(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _cast(value: Any, dtype: torch.dtype, device: str | None = None) -> Any:
    if isinstance(value, tuple):
        return tuple(_cast(item, dtype, device) for item in value)
    if not isinstance(value, torch.Tensor):
        return value
    if value.is_complex():
        dtype = torch.complex128 if dtype == torch.float64 else torch.complex64
    return value.detach().to(device or value.device, dtype if _varies(value) else value.dtype, copy=True)
