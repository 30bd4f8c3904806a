"""Which implementation of an operation runs, and how a result learns which one did.

An operation is a folder `kernels/<op>/`, or one of another package, with `reference.py` (the definition, and `check`,
which turns bad input into one line), `cpu.py` and `gpu.py`; each holds a function of one name, with one signature. The
device of the tensors picks the path; `path=` overrides it; nothing falls back silently:

    linear_scan = operation("linear_scan")
    with ran() as paths:
        h_BTN, last_BN = linear_scan(gate_BTN, x_BTN)
    paths  # {"linear_scan": {"cpu"}}
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import Any, final

import torch

from harness.api import locate, registry
from harness.api.errors import HarnessError, UsageError

PATHS = ("reference", "cpu", "gpu")
_BY_DEVICE = {"cpu": "cpu", "cuda": "gpu"}

_recorders: ContextVar[tuple[dict[str, set[str]], ...]] = ContextVar("_recorders", default=())


@final
class Operation:
    """One operation, callable with its reference's signature and an optional `path`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"operation({self.name!r})"

    def __call__(self, *arguments: Any, path: str | None = None, **named: Any) -> Any:
        """Check the arguments, pick the path, run it and note that it ran.

        Raises UsageError on arguments that do not fit the operation or a path that does not fit their device, and
        HarnessError when the path's backend is not installed.
        """
        truth = _module(self.name, "reference")
        try:
            bound = inspect.signature(_function(self.name, truth)).bind(*arguments, **named)
        except TypeError as problem:
            raise UsageError(f"{self.name}: {problem}.") from problem
        device = _device(self.name, bound.arguments)
        chosen = _path(self.name, device, path)
        truth.check(*arguments, **named)
        result = _function(self.name, _module(self.name, chosen))(*arguments, **named)
        _note(self.name, "interpreter" if chosen == "gpu" and device == "cpu" else chosen)
        return result

    def paths(self) -> tuple[str, ...]:
        """The paths that exist, whether or not this machine can run them."""
        return tuple(path for path in PATHS if locate.find(module_name(self.name, path)))


def module_name(op: str, path: str) -> str:
    """The module that holds a path of an operation; UsageError where no such operation is registered."""
    if op not in registry.names("kernel"):
        raise UsageError(f"no operation named {op!r}; `harness list kernels` shows those there are.")
    reference = registry.card("kernel", op).module
    return reference if path == "reference" else f"{reference.rpartition('.')[0]}.{path}".lstrip(".")


def operation(name: str) -> Operation:
    """The operation of a registered kernel; nothing is imported before its first call."""
    return Operation(name)


@contextmanager
def ran() -> Iterator[Mapping[str, set[str]]]:
    """Collect which path each operation takes inside the block: reference, cpu, gpu or interpreter."""
    seen: dict[str, set[str]] = {}
    token = _recorders.set((*_recorders.get(), seen))
    try:
        yield seen
    finally:
        _recorders.reset(token)


def interpreting() -> bool:
    """Whether Triton's interpreter stands in for a GPU in this process."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type in which a path carries state: float32 for the half types, else the type itself."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor inside nested tuples, lists and mappings, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)


@cache
def _module(op: str, path: str) -> ModuleType:
    name = module_name(op, path)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name == name:
            raise UsageError(f"{op} has no {path} path; its paths: {', '.join(operation(op).paths())}.") from problem
        if (problem.name or "").split(".")[0] != "triton":
            raise
        raise HarnessError(
            f"{op}: the {path} path needs triton, which is not installed; install seqharness[gpu], or pass path='cpu'."
        ) from problem


def _function(op: str, module: ModuleType) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(module, registry.card("kernel", op).attribute)
    return function


def _device(op: str, arguments: Mapping[str, Any]) -> str:
    first: tuple[str, torch.device] | None = None
    for name, value in arguments.items():
        for tensor in tensors(value):
            if first is None:
                first = (name, tensor.device)
            elif tensor.device != first[1]:
                raise UsageError(
                    f"{op}: {first[0]} is on {first[1]} but {name} is on {tensor.device}; move them to one device."
                )
    if first is None:
        raise UsageError(f"{op}: no argument is a tensor.")
    return first[1].type


def _path(op: str, device: str, asked: str | None) -> str:
    if asked is None:
        if device not in _BY_DEVICE:
            raise UsageError(f"{op}: no path runs on device {device!r}; move the tensors to cpu or cuda.")
        return _BY_DEVICE[device]
    if asked not in PATHS:
        raise UsageError(f"{op}: no path named {asked!r}; choose one of {', '.join(PATHS)}.")
    if asked == "gpu" and device != "cuda" and not (device == "cpu" and interpreting()):
        raise UsageError(
            f"{op}: the gpu path needs cuda tensors but these are on {device}; move them, or set TRITON_INTERPRET=1 "
            "before the program starts to run the kernel in Triton's interpreter."
        )
    if asked == "cpu" and device != "cpu":
        raise UsageError(f"{op}: the cpu path needs cpu tensors but these are on {device}; leave path out.")
    return asked


def _note(op: str, path: str) -> None:
    for seen in _recorders.get():
        seen.setdefault(op, set()).add(path)
