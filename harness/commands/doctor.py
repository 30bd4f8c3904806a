"""doctor: say what this machine offers, with its versions, the backends that work, the data found and the cache."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Any

from harness.api import registry
from harness.cache import cache_root
from harness.sources import data_root
from harness.terminal import columns

PACKAGES = ("seqharness", "numpy", "torch", "transformers", "gguf", "datasets", "sacrebleu", "triton")
SECONDS = 120  # a first import of torch from a cold disk is slow
# a broken build may end the process, so that backends are tried in one of their own
PROBE = """
import importlib.util, json
found = {}
try:
    import torch
    assert float(torch.ones(2) @ torch.ones(2)) == 2.0
    found["torch"] = f"works, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        found["cuda"] = f"works: {torch.cuda.get_device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    else:
        found["cuda"] = "no device" if torch.version.cuda else "this torch is a CPU build"
except (ImportError, OSError, RuntimeError) as problem:
    found["torch"] = f"does not work: {problem}"
if importlib.util.find_spec("triton") is None:
    found["triton"] = "not installed (extra [gpu])"
else:
    try:
        import triton
        on_gpu = found.get("cuda", "").startswith("works")
        found["triton"] = "works on the device" if on_gpu else "through its interpreter only (TRITON_INTERPRET=1)"
    except (ImportError, OSError, RuntimeError) as problem:
        found["triton"] = f"does not work: {problem}"
print(json.dumps(found))
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Print the findings; 1 when torch does not work."""
    findings = {"machine": _machine(), "versions": _versions(), "backends": _backends(), "data": _data()}
    if options.json:
        print(json.dumps(findings, indent=1))
    else:
        print("\n\n".join(f"{title}\n{columns(list(lines.items()))}" for title, lines in findings.items()))
    return 0 if findings["backends"].get("torch", "").startswith("works") else 1


def _machine() -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0.0
    return {
        "system": platform.platform(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{memory:.1f} GiB" if memory else "unknown",
        "python": f"{platform.python_version()} at {sys.executable}",
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _backends() -> dict[str, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"torch": f"does not work: importing it took more than {SECONDS} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"torch": f"does not work: {last}"}
    found: dict[str, Any] = json.loads(done.stdout)
    return {name: str(text) for name, text in found.items()}


def _data() -> dict[str, str]:
    root, cache = data_root(), cache_root()
    sets = sum(entry.is_dir() for entry in root.iterdir()) if root else 0
    there = cache if cache.exists() else next(parent for parent in cache.parents if parent.exists())
    free = shutil.disk_usage(there).free / 2**30
    writable = "" if os.access(there, os.W_OK) else ", NOT WRITABLE (set HARNESS_CACHE)"
    counts = ", ".join(f"{len(registry.names(kind))} {kind}s" for kind in registry.KINDS)
    return {
        "data folder": f"{root} ({sets} data sets)"
        if root
        else "none; tasks with data of their own still run (set HARNESS_DATA)",
        "cache folder": f"{cache} ({free:.0f} GiB free{writable})",
        "registered": counts,
        "network": "forbidden (HARNESS_OFFLINE)"
        if os.environ.get("HARNESS_OFFLINE")
        else "only when a name asks for it",
    }
