"""On what did a run happen? Machine, versions and commit: the provenance of a result."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import checkout, devices

DISTRIBUTION = "seqharness"
# those whose version may change a number
LIBRARIES = ("numpy", "torch", "transformers", "triton", "gguf", "safetensors")
OTHERS = ("datasets", "evaluate", "sacrebleu", "rouge-score", "scipy", "jiwer")


def describe(device: str = "cpu", read: Mapping[Path, bytes] | None = None) -> dict[str, Any]:
    """Machine, operating system, versions and commit as JSON-like data; reads no clock and imports no torch.

    `read` holds the sources of a run as they were read, which the commit must hold too.
    """
    return {
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "memory_bytes": memory_bytes(),
        "accelerator": devices.name(device),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(LIBRARIES + OTHERS),
        "commit": checkout.commit(read),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "load": load(),
    }


def harness_version() -> str:
    """The installed version of the distribution."""
    return version(DISTRIBUTION) or "0"


@cache
def version(distribution: str) -> str:
    """An installed distribution's version; empty when it is absent."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def versions(distributions: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Versions of those that are installed."""
    return {item: found for item in distributions if (found := version(item))}


@cache
def cpu_name() -> str:
    """The processor's own name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        # not Linux: the platform module knows something
        return platform.processor()
    return platform.processor()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float | None:
    """Processes that wanted a core, averaged over the last minute: a speed taken on a busy machine says so."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def busy(described: Mapping[str, Any]) -> bool:
    """Whether other work ran on a machine while it was described, or it is not known: its speeds are lower bounds."""
    found, cores = described.get("load"), described.get("cores")
    if not isinstance(found, (int, float)) or not isinstance(cores, (int, float)):
        return True
    # the run itself keeps its threads busy
    threads = str(described.get("threads") or cores)
    return found > (float(threads) if threads.isdigit() else cores) + 0.5


def changed(described: Mapping[str, Any]) -> bool:
    """Whether the sources that ran differ from the commit that stands beside them; no where there is no commit."""
    return described.get("dirty") is True or str(described.get("commit") or "").endswith(checkout.CHANGES)


def memory_bytes() -> int:
    """Physical memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
