"""How do results read as one flat table, a line a metric? CSV text, or a Parquet file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from harness.results import RunResult
from harness.terminal import plain

TIMINGS = ("tokens_per_second", "examples_per_second", "peak_resident_bytes", "peak_device_bytes", "energy_joules")
HEADERS = (
    "task", "task_version", "model", "decoder", "split", "limit", "seed", "metric", "headline", "value", "low", "high",
    "interval_method", "n", "unit", "higher_is_better", "examples", "failed", "parameters", *TIMINGS, "p50_seconds",
    "p99_seconds", "cpu", "accelerator", "date", "digest",
)  # fmt: skip

FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the beginning of one


def lines(results: Sequence[RunResult]) -> list[dict[str, Any]]:
    """One mapping a metric of a run; what is not known is None."""
    found = []
    for result in results:
        signature, latency = result.signature, result.timings.get("latency_seconds") or {}
        shared = {
            "task": result.task,
            "task_version": signature.get("task_version"),
            "model": result.model,
            "decoder": result.decoder,
            "split": signature["split"],
            "limit": signature.get("limit"),
            "seed": signature["seed"],
            "examples": result.examples,
            "failed": result.failed,
            "parameters": result.identity.get("parameters"),
            "p50_seconds": latency.get("p50"),
            "p99_seconds": latency.get("p99"),
            "cpu": result.environment.get("cpu"),
            "accelerator": result.environment.get("accelerator") or None,
            "date": result.environment.get("date"),
            "digest": result.digest,
        } | {name: result.timings.get(name) for name in TIMINGS}
        for name, metric in result.metrics.items():
            line = shared | {
                "metric": name,
                "headline": name == result.headline,
                "value": _finite(metric.value),
                "low": _finite(metric.low),
                "high": _finite(metric.high),
                "interval_method": metric.method,
                "n": metric.n,
                "unit": metric.unit,
                "higher_is_better": metric.higher_is_better,
            }
            found.append({header: line.get(header) for header in HEADERS})
    return found


def as_csv(results: Sequence[RunResult]) -> str:
    """CSV (RFC 4180 quoting); an unknown number is an empty field.

    A text that a spreadsheet would compute (it begins with =, +, - or @) gets an apostrophe before it, and what could
    steer a terminal is written as its escape.
    """
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, HEADERS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({header: _inert(value) for header, value in line.items()} for line in lines(results))
    return stream.getvalue()


def write_parquet(results: Sequence[RunResult], file: Path) -> None:
    """The same columns, typed."""
    import pyarrow as pa
    from pyarrow import parquet

    found = lines(results)
    numbers = frozenset(("value", "low", "high", "parameters", "p50_seconds", "p99_seconds", *TIMINGS))
    whole = frozenset(("task_version", "limit", "seed", "n", "examples", "failed"))
    columns = {}
    for header in HEADERS:
        kind = pa.float64() if header in numbers else pa.int64() if header in whole else pa.string()
        kind = pa.bool_() if header in ("headline", "higher_is_better") else kind
        columns[header] = pa.array([line[header] for line in found], type=kind)
    parquet.write_table(pa.table(columns), file)


def _inert(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _finite(number: float) -> float | None:
    return number if isfinite(number) else None
