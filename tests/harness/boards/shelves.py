"""Records made by hand, for tests of the boards."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import signature as signatures
from harness.boards.records import Record, Sample, Shelf
from harness.results import Measurement, RunResult, Samples, Slice

sys.path.append(str(Path(__file__).parents[1] / "gate"))
from planted_results import answers, flipped
from planted_results import result as planted

# pipes, line ends, HTML, markup, control characters, right-to-left override, emoji
ODD = "a|b\n<script>alert(1)</script><img src=x onerror=alert(2)> [x](javascript:y) \x1b[31m `c` _d_ \u202e 😀 ]]>"

MACHINE = {"cpu": "Test CPU", "cores": 2, "threads": "1", "load": 0.5, "date": "2026-01-02T03:04:05+00:00"}


def result(statistics: np.ndarray, digest: str = "", **changes: Any) -> RunResult:
    """A planted result with a digest of its own, a machine and a speed."""
    made = planted(statistics, **changes)
    named = digest or f"{abs(hash((statistics.tobytes(), str(sorted(changes.items()))))):016x}"[:16]
    timings = {"examples_per_second": 10.0, "latency_seconds": {"p50": 0.1, "p99": 0.2}, "peak_resident_bytes": 2**30}
    return replace(made, digest=named, timings=timings, environment=dict(MACHINE))


def record(statistics: np.ndarray, digest: str = "", origin: str = "harness", **changes: Any) -> Record:
    return Record(result(statistics, digest, **changes), origin)


def sealed(made: Record) -> Record:
    """The record as a run would leave it: its digest is its signature's, which tells its old digest apart."""
    signature = {**made.result.signature, "drawn": made.result.digest}
    return replace(made, result=replace(made.result, signature=signature, digest=signatures.digest(signature)))


def field() -> list[Record]:
    """A best row, one that cannot be told from it, and a weak one."""
    rows = answers(700, 300)
    return [
        record(flipped(rows, 300), "c" * 16, model="lms/weak"),
        record(flipped(rows, 2, 1), "b" * 16, model="lms/near"),
        record(rows, "a" * 16, model="lms/best"),
    ]


def odd_record() -> Record:
    """Every text that others write is hostile."""
    made = record(answers(6, 4), "d" * 16, model=ODD)
    hostile = replace(made.result, notes=(ODD,), environment={**MACHINE, "cpu": ODD})
    return replace(made, result=hostile, samples=(Sample(ODD, "worst", 0.0, ODD, ODD, ODD + "x" * 10_000),))


def with_lengths(
    made: Record, task_lengths: tuple[int, ...] = (128, 256), depths: tuple[int, ...] = (0, 100)
) -> Record:
    """The record with a breakdown by length and depth; right at every length but the last."""
    parts = [
        Slice(
            {"length": str(length), "depth": str(depth)},
            1,
            {"key_found": Measurement(*(float(length != task_lengths[-1]),) * 3, 1, True, "", "key_found|v1", (0, 1))},
        )
        for length in task_lengths
        for depth in depths
    ]
    return replace(made, result=replace(made.result, breakdown=tuple(parts)))


def valueless(made: Record, value: float) -> Record:
    """The record with a headline of NaN or infinity."""
    found = made.result.metrics["key_found"]
    rows = np.full((10, 1), np.nan)
    metrics = {"key_found": replace(found, value=value, low=value, high=value, n=0)}
    return replace(made, result=replace(made.result, metrics=metrics, samples=Samples("same", {"key_found": rows})))


def shelf(*records: Record, problems: tuple[str, ...] = ()) -> Shelf:
    return Shelf(tuple(records), problems)
