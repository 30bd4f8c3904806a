"""Which device does a run use, and how is it waited for? Asked of torch only where a model has imported it."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.api.errors import UsageError

NVIDIA = Path("/proc/driver/nvidia/version")


def resolve(device: str) -> str:
    """What a --device value means here, cpu or cuda; UsageError when CUDA was asked for and is not there."""
    if device == "cpu":
        return "cpu"
    if _cuda_available():
        return "cuda"
    if device == "cuda":
        raise UsageError("device cuda was asked for, but no CUDA device can be used here; use --device cpu or auto.")
    return "cpu"


def synchroniser(device: str) -> Callable[[], None] | None:
    """What waits until the device is idle; None on a CPU."""
    torch = _torch()
    if device != "cuda" or torch is None:
        return None
    wait: Callable[[], None] = torch.cuda.synchronize
    return wait


def peak_device_bytes(device: str) -> int | None:
    """The most device memory held so far; None on a CPU."""
    torch = _torch()
    return int(torch.cuda.max_memory_allocated()) if device == "cuda" and torch is not None else None


def release_memory(device: str) -> None:
    """Hand cached device memory back after a batch did not fit."""
    torch = _torch()
    if device == "cuda" and torch is not None:
        torch.cuda.empty_cache()


def begin_peak(device: str) -> None:
    """Hand what has been freed back to the system, and start the peak of device memory anew: another cell begins."""
    return_freed()
    torch = _torch()
    if device == "cuda" and torch is not None:
        torch.cuda.reset_peak_memory_stats()


def return_freed() -> None:
    """Hand what this process has freed back to the system, so that it is not counted as the next cell's memory."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    # glibc alone keeps freed memory unless it is told
    if trim is not None:
        trim(0)


def name(device: str) -> str:
    """The accelerator's own name, as the driver tells it; empty on a CPU.

    Torch is not asked: a run is signed before torch is imported, and must be signed alike afterwards.
    """
    if device != "cuda":
        return ""
    for file in sorted(NVIDIA.parent.glob("gpus/*/information")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return ""


def _torch() -> Any:
    return sys.modules.get("torch")


def _cuda_available() -> bool:
    torch = _torch()
    if torch is not None:
        return bool(torch.cuda.is_available())
    try:
        return NVIDIA.exists() and "+cpu" not in metadata.version("torch")
    except metadata.PackageNotFoundError:
        return False
