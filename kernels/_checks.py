"""Whether an operation's arguments fit each other; one line says what does not, from the operation that was called.

Argument names carry their axes as a suffix of capital letters (`gate_BTN`), so the shapes that must agree need no
table: a letter has one size in a call.
"""

from __future__ import annotations

import torch

from harness.api.errors import UsageError


def agree(op: str, **arguments: torch.Tensor | None) -> dict[str, int]:
    """The size of each axis letter; UsageError where two arguments differ, or one has the wrong number of axes."""
    sizes: dict[str, int] = {}
    owner: dict[str, str] = {}
    for name, tensor in arguments.items():
        if tensor is None:
            continue
        if not isinstance(tensor, torch.Tensor):
            raise UsageError(f"{op}: {_short(name)} is a {type(tensor).__name__}; it must be a tensor.")
        letters = name.rpartition("_")[2]
        if tensor.ndim != len(letters):
            raise UsageError(
                f"{op}: {_short(name)} is {_shape(tensor)}; it must have {len(letters)} axes ({', '.join(letters)})."
            )
        for letter, size in zip(letters, tensor.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                other = arguments[owner[letter]]
                assert other is not None
                raise UsageError(
                    f"{op}: {_short(owner[letter])} is {_shape(other)} but {_short(name)} is {_shape(tensor)}; "
                    f"their {letter} must match."
                )
            owner.setdefault(letter, name)
    return sizes


def one_dtype(op: str, *, allow_complex: bool = False, **arguments: torch.Tensor | None) -> torch.dtype:
    """The one floating type (or complex, where allowed) of all arguments; UsageError otherwise."""
    first: tuple[str, torch.dtype] | None = None
    for name, tensor in arguments.items():
        if tensor is None:
            continue
        if tensor.is_complex() and not allow_complex:
            raise UsageError(f"{op}: {_short(name)} is {_dtype(tensor)}; it must be real.")
        if not (tensor.is_floating_point() or tensor.is_complex()):
            raise UsageError(f"{op}: {_short(name)} is {_dtype(tensor)}; it must be floating point.")
        if first is None:
            first = (name, tensor.dtype)
        elif tensor.dtype != first[1]:
            kind = str(first[1]).removeprefix("torch.")
            raise UsageError(f"{op}: {_short(first[0])} is {kind} but {_short(name)} is {_dtype(tensor)}; cast one.")
    assert first is not None, "an operation has a tensor argument"
    return first[1]


def state_dtype(op: str, dtype: torch.dtype, **states: torch.Tensor | None) -> None:
    """UsageError unless each carried state has the arguments' type, or float32 beside half-precision arguments."""
    for name, state in states.items():
        half = dtype in (torch.float16, torch.bfloat16)
        if state is not None and state.dtype != dtype and not (half and state.dtype == torch.float32):
            wanted = str(dtype).removeprefix("torch.") + (" or float32" if half else "")
            raise UsageError(f"{op}: {_short(name)} is {_dtype(state)}; it must be {wanted}.")


def _short(name: str) -> str:
    stem, _, letters = name.rpartition("_")
    return stem if stem and letters.isupper() else name


def _shape(tensor: torch.Tensor) -> str:
    return str(tuple(tensor.shape))


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
