"""What exactly was run? Everything that could change a number, in one mapping with one digest."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np

from harness import codec, devices, environment
from harness.api.types import Budget, Example, Request

REQUEST_SCHEMA = 1  # raised when the meaning of a request or response field changes


def build(
    *,
    task: str,
    task_version: int,
    data: str,
    metrics: Mapping[str, str],
    split: str,
    limit: int | None,
    seed: int,
    model: str,
    weights: Mapping[str, str],
    decoder: str | None,
    decoder_weights: Mapping[str, str],
    device: str,
    dtype: str,
    budget: Budget | None,
    training_data: str,
    code: Mapping[str, str],
    versions: Mapping[str, int],
) -> dict[str, Any]:
    """The signature of a run; all specs canonical, `budget` None for a model that is not trained here.

    `code` holds a digest for the source of the task, of the model and its decoder, and of the metrics, each with all
    the parts that it reaches; `versions` the stated version of each part of model and decoder that is not at its first.
    """
    return {
        "schema": REQUEST_SCHEMA,
        "harness": environment.harness_version(),
        "task": task,
        "task_version": task_version,
        "data": data,
        "split": split,
        "limit": limit,
        "seed": seed,
        "metrics": dict(metrics),
        "model": model,
        "weights": dict(sorted(weights.items())),
        "training_data": training_data,
        "budget": _spent(budget) if budget else None,
        "decoder": decoder,
        "decoder_weights": dict(sorted(decoder_weights.items())),
        "device": device,
        "accelerator": devices.name(device),
        "machine": platform.machine(),
        "dtype": dtype,
        "libraries": environment.versions(),
        "code": dict(sorted(code.items())),
        "versions": dict(sorted(versions.items())),
    }


def _spent(budget: Budget) -> dict[str, Any]:
    stated = asdict(budget)
    # a later addition: left out when not given, so that older runs keep their names
    return stated if budget.parameters else {key: value for key, value in stated.items() if key != "parameters"}


def digest(signature: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that name the signature."""
    text = json.dumps(codec.pack(signature), sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def unknown_parts(signature: Mapping[str, Any]) -> list[str]:
    """What the signature cannot vouch for; stored responses are never reused while there is any."""
    missing = [
        f"{kind}.{name}"
        for kind in ("weights", "decoder_weights")
        for name, value in signature[kind].items()
        if _is_unknown(value)
    ]
    return missing + [name for name in ("data", "training_data") if _is_unknown(signature[name])]


def request_seed(seed: int, example: str, index: int) -> int:
    """The seed of one request: fixed by the run's seed and the request's place, never by its batch."""
    text = f"{seed}\0{example}\0{index}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def asked(example: Example) -> str:
    """Digest of what an example asks, so that a stored response is never taken for the answer to something else."""
    total = hashlib.blake2b(digest_size=8)
    for request in example.requests:
        total.update(request_bytes(request))
    return total.hexdigest()


def request_bytes(request: Request) -> bytes:
    """A digest of one request's type and content."""
    total = hashlib.blake2b(digest_size=16)
    _feed(total, request)
    return total.digest()


def _feed(total: Any, value: Any) -> None:
    # every part is preceded by its type and length, so that different values never feed equal bytes
    if is_dataclass(value) and not isinstance(value, type):
        total.update(f"<{type(value).__name__}".encode())
        for item in fields(value):
            _feed(total, getattr(value, item.name))
    elif isinstance(value, np.ndarray):
        total.update(f"[{value.dtype.str}{value.shape}".encode())
        total.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (tuple, list)):
        total.update(f"({len(value)}".encode())
        for item in value:
            _feed(total, item)
    else:
        text = (value if isinstance(value, str) else repr(value)).encode("utf-8", "surrogatepass")
        total.update(f"{type(value).__name__}{len(text)}:".encode())
        total.update(text)


def _is_unknown(value: Any) -> bool:
    return not str(value).strip() or str(value) == "unknown"
