"""How long did it take, and what did it cost? The only file that reads a clock.

Phases (prefill, decode, score, embed, train, ...) are exclusive: time inside an inner span is not counted in the
outer one. On an accelerator a span begins and ends with the device idle, through the `synchronise` it is given.
"""

from __future__ import annotations

import resource
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

PROCESS = Path("/proc/self")
RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


def clock() -> float:
    """Seconds from an arbitrary start; never goes backwards."""
    return time.perf_counter()


def date() -> str:
    """Now, in UTC, to the second (ISO 8601)."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(slots=True)
class RequestTiming:
    """What one request of one door call experienced."""

    latency: float = 0.0  # seconds from the call to its last token (to the call's end where none was reported)
    first_token: float | None = None  # seconds from the call to its first token
    tokens: int = 0  # reported through `emitted`


@dataclass(slots=True)
class Tally:
    """Sums over door calls; adds up over the sessions of a resumed run."""

    spans: dict[str, float] = field(default_factory=dict)  # phase -> seconds
    tokens: dict[str, int] = field(default_factory=dict)  # phase -> true tokens
    counters: dict[str, int] = field(default_factory=dict)
    calls: int = 0  # door calls
    seconds: float = 0.0  # inside door calls

    def add(self, other: Mapping[str, Any]) -> None:
        """Add a stored tally."""
        for mine, theirs in ((self.spans, "spans"), (self.tokens, "tokens"), (self.counters, "counters")):
            for name, amount in other.get(theirs, {}).items():
                mine[name] = mine.get(name, 0) + amount
        self.calls += int(other.get("calls", 0))
        self.seconds += float(other.get("seconds", 0.0))

    def spent(self) -> dict[str, float]:
        """Seconds in all, seconds of each phase, and counters, under one name each."""
        return {"seconds": self.seconds, **self.spans, **self.counters}

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "spans": self.spans,
            "tokens": self.tokens,
            "counters": self.counters,
            "calls": self.calls,
            "seconds": self.seconds,
        }


class RunMeter:
    """The Meter that models and decoders receive; one for each door call or fit."""

    def __init__(self, requests: int = 0, synchronise: Callable[[], None] | None = None) -> None:
        self._synchronise = synchronise or _nothing
        self._children: list[float] = []  # seconds spent in inner spans, one entry for each open span
        self._last: list[float | None] = [None] * requests
        self.requests = [RequestTiming() for _ in range(requests)]
        self.tally = Tally(calls=1)
        self._synchronise()
        self._start = clock()

    @contextmanager
    def span(self, name: str, tokens: int = 0) -> Iterator[None]:
        """Time a phase, less the phases inside it."""
        self._synchronise()
        start = clock()
        self._children.append(0.0)
        try:
            yield
        finally:
            self._synchronise()
            whole = clock() - start
            inner = self._children.pop()
            if self._children:
                self._children[-1] += whole
            spans = self.tally.spans
            spans[name] = spans.get(name, 0.0) + whole - inner
            if tokens:
                self.tally.tokens[name] = self.tally.tokens.get(name, 0) + tokens

    def emitted(self, request: int, tokens: int) -> None:
        """Note when a request's tokens arrived."""
        now = clock() - self._start
        timing = self.requests[request]
        if timing.first_token is None:
            timing.first_token = now
        timing.tokens += tokens
        self._last[request] = now

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        self.tally.counters[name] = self.tally.counters.get(name, 0) + amount

    def elapsed(self) -> float:
        """Seconds since the call began."""
        return clock() - self._start

    def close(self) -> None:
        """End the call: requests that reported no token waited until now."""
        self._synchronise()
        self.tally.seconds = clock() - self._start
        for timing, last in zip(self.requests, self._last, strict=True):
            timing.latency = self.tally.seconds if last is None else last


@dataclass(slots=True)
class Times:
    """Everything that was timed in a run, over all of its sessions."""

    latencies: array[float] = field(default_factory=lambda: array("d"))  # seconds, one an example
    first_tokens: array[float] = field(default_factory=lambda: array("d"))  # seconds, where reported
    tokens: int = 0  # true ones: generated up to the first EOS, or scored
    tally: Tally = field(default_factory=Tally)
    setup: dict[str, float] = field(default_factory=dict)  # wall, load, fit and warm-up seconds

    def add(self, timings: Mapping[str, Any]) -> None:
        """Add what the journal keeps of one example."""
        if "latency" in timings:
            self.latencies.append(timings["latency"])
        if timings.get("first_token") is not None:
            self.first_tokens.append(timings["first_token"])
        self.tokens += int(timings.get("tokens", 0))
        if "batch" in timings:
            self.add_lap(timings["batch"])

    def add_lap(self, lap: Mapping[str, Any]) -> None:
        """Add what a batch, or the time since the last one, took."""
        self.tally.add(lap)
        for name, seconds in lap.get("setup", {}).items():
            self.setup[name] = self.setup.get(name, 0.0) + seconds


def report(times: Times) -> dict[str, Any]:
    """The timings of a run as JSON; rates are over the time inside door calls, loading and warm-up apart."""
    setup, tally, tokens = times.setup, times.tally, times.tokens
    wall = setup.get("wall", 0.0)
    apart = sum(setup.get(name, 0.0) for name in ("load", "fit", "warm_up"))
    return {
        "wall_seconds": wall,
        "model_seconds": tally.seconds,
        "load_seconds": setup.get("load", 0.0),
        "fit_seconds": setup.get("fit", 0.0),
        "warm_up_seconds": setup.get("warm_up", 0.0),
        "overhead_seconds": max(0.0, wall - apart - tally.seconds),
        "phases": {
            name: {"seconds": seconds, "tokens": tally.tokens.get(name, 0)} for name, seconds in tally.spans.items()
        },
        "door_calls": tally.calls,
        "counters": tally.counters,
        "tokens": tokens,
        "tokens_per_second": tokens / tally.seconds if tokens and tally.seconds else None,
        "examples_per_second": len(times.latencies) / tally.seconds if tally.seconds else None,
        "latency_seconds": percentiles(times.latencies),
        "first_token_seconds": percentiles(times.first_tokens),
    }


def to_columns(spent: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """What each example took, as one line of numbers a name; nothing when an example's share is not known."""
    if not spent or not all(spent):
        return {}
    names = sorted({name for one in spent for name in one})
    return {name: " ".join(f"{one.get(name, 0.0):.6g}" for one in spent) for name in names}


def from_columns(timings: Mapping[str, Any]) -> dict[str, list[float]]:
    """The inverse for a result's timings: name -> one number an example; {} where none were kept."""
    return {str(name): [float(number) for number in line.split()] for name, line in _columns(timings).items()}


def _columns(timings: Mapping[str, Any]) -> Mapping[str, str]:
    found = timings.get("by_example")
    return found if isinstance(found, Mapping) else {}


def percentiles(seconds: Sequence[float]) -> dict[str, float] | None:
    """p50, p90 and p99 (linear interpolation), or None of nothing."""
    if not len(seconds):
        return None
    values = np.percentile(np.asarray(seconds, dtype=np.float64), [50, 90, 99])
    return {"p50": float(values[0]), "p90": float(values[1]), "p99": float(values[2])}


def peak_resident_bytes() -> int:
    """The most memory that this process has held."""
    if PROCESS.joinpath("status").exists():
        for line in PROCESS.joinpath("status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def reset_peak_resident() -> None:
    """Start the peak anew, so that a cell does not inherit the one before it; only Linux can."""
    if PROCESS.joinpath("clear_refs").exists():
        with suppress(OSError):
            PROCESS.joinpath("clear_refs").write_text("5", encoding="ascii")


class EnergyProbe:
    """Joules since it was made, from NVML (one GPU) or RAPL (the CPU package); None where neither can be read."""

    def __init__(self, device: str = "cpu") -> None:
        self.source = ""
        self._read: Callable[[], float] | None = _nvml() if device == "cuda" else _rapl()
        if self._read is not None:
            self.source = "nvml" if device == "cuda" else "rapl"
            self._start = self._read()

    def joules(self) -> float | None:
        """Energy used so far; None when unknown (RAPL's counter wraps round now and then)."""
        if self._read is None:
            return None
        used = self._read() - self._start
        return used if used >= 0 else None


@cache
def calibration(size: int = 384, repeats: int = 7) -> dict[str, float]:
    """How fast is this machine? The best of a few fixed float32 matrix products, in seconds and GFLOP/s."""
    rng = np.random.default_rng(0)
    left = rng.standard_normal((size, size), dtype=np.float32)
    right = rng.standard_normal((size, size), dtype=np.float32)
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        left @ right
        best = min(best, clock() - start)
    return {"size": float(size), "seconds": best, "gflops": 2 * size**3 / best / 1e9}


def _nothing() -> None:
    """The CPU is always in step."""


def _rapl() -> Callable[[], float] | None:
    try:
        RAPL.read_text()
    except OSError:
        return None
    return lambda: int(RAPL.read_text()) / 1e6


def _nvml() -> Callable[[], float] | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None
    return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
