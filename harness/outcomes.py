"""How finished cells are shown: quality with its interval beside speed, failures and refusals with their reasons."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cache import write_whole
from harness.planning import Refusal
from harness.results import RunResult
from harness.runner import Outcome
from harness.terminal import plain, table

HEADERS = ("task", "model", "decoder", "seed", "metric", "value", "95% interval", "n", "failed")
SPEED = ("tokens/s", "examples/s", "p50 s", "p99 s", "memory")
NUMBERS = frozenset({"seed", "value", "n", "failed", *SPEED})
REASON = 60  # characters of a reason within the table; the whole of it follows below


def as_table(outcomes: Sequence[Outcome], refusals: Sequence[Refusal] = ()) -> str:
    """One row a cell: the headline metric with its 95% interval, what failed, and the speed."""
    rows = [_row(outcome) for outcome in outcomes]
    rows += [_named(refusal.cell) | {"metric": "refused"} for refusal in refusals]
    seeds = {row["seed"] for row in rows}
    headers = [header for header in HEADERS + SPEED if any(row.get(header) for row in rows)]
    return table(rows, [header for header in headers if header != "seed" or len(seeds) > 1], NUMBERS)


def as_json(outcomes: Sequence[Outcome], refusals: Sequence[Refusal] = ()) -> list[dict[str, Any]]:
    """The same as data, with all metrics; numbers that do not exist are null."""
    found = []
    for outcome in outcomes:
        entry: dict[str, Any] = _named(outcome.cell)
        if outcome.finished is None:
            found.append(entry | {"status": "failed", "reason": str(outcome.error)})
            continue
        result = outcome.finished.result
        found.append(
            entry
            | {
                "status": "failed" if result.all_failed else "done",
                "reused": outcome.finished.reused,
                "folder": str(outcome.finished.folder),
                "digest": result.digest,
                "metrics": {
                    name: {
                        "value": _finite(metric.value),
                        "low": _finite(metric.low),
                        "high": _finite(metric.high),
                        "n": metric.n,
                        "unit": metric.unit,
                    }
                    for name, metric in result.metrics.items()
                },
                "examples": result.examples,
                "failed": result.failed,
                "failures": [{"message": kind.message, "count": kind.count} for kind in result.failures],
                "notes": list(result.notes),
                "timings": dict(result.timings),
            }
        )
    return found + [_named(refusal.cell) | {"status": "refused", "reason": refusal.reason} for refusal in refusals]


def failed(outcomes: Sequence[Outcome]) -> bool:
    """Whether any cell came to nothing: an error, or not one example answered."""
    return any(outcome.finished is None or outcome.finished.result.all_failed for outcome in outcomes)


def write_board(outcomes: Sequence[Outcome], out: Path) -> Path:
    """A markdown leaderboard of these runs beside them; its path."""
    path = out / "leaderboard.md"
    write_whole(path, as_markdown(outcomes))
    return path


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    """A page of `as_tables`."""
    return f"# Leaderboard\n\n{as_tables(outcomes)}\n"


def as_tables(outcomes: Sequence[Outcome]) -> str:
    """One markdown table a task, safe to paste: no cell can end its column or its row, or be read as markup."""
    parts = []
    for task in dict.fromkeys(outcome.cell.task for outcome in outcomes):
        rows = [_row(outcome) for outcome in outcomes if outcome.cell.task == task]
        headers = [header for header in HEADERS[1:] + SPEED if any(row.get(header) for row in rows)]
        sides = ["---:" if header in NUMBERS else "---" for header in headers]
        lines = [headers, sides, *([_inert(row.get(header, "")) for header in headers] for row in rows)]
        parts.append(f"### {_inert(task)}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)


def _inert(text: str) -> str:
    return re.sub(r"[\\`*<>|&]|(?<!\w)_|_(?!\w)", lambda sign: f"&#{ord(sign.group())};", plain(text))


def _named(cell: Any) -> dict[str, Any]:
    return {"task": cell.task, "model": cell.model, "decoder": cell.decoder or "", "seed": str(cell.seed)}


def _row(outcome: Outcome) -> dict[str, Any]:
    row = _named(outcome.cell)
    if outcome.finished is None:
        return row | {"metric": f"FAILED: {plain(str(outcome.error), REASON)}"}
    result = outcome.finished.result
    if result.all_failed:
        reason = result.failures[0].message if result.failures else "no answer"
        return row | {"metric": f"FAILED: {plain(reason, REASON)}", "n": "0", "failed": str(result.failed)}
    metric = result.metrics[result.headline]
    better = "↑" if metric.higher_is_better else "↓"
    interval = f"[{metric.low:.4g}, {metric.high:.4g}]" if math.isfinite(metric.low) else "none"
    return row | {
        "metric": f"{result.headline} {better}",
        "value": f"{metric.value:.4g}{metric.unit if metric.unit == '%' else ''}",
        "95% interval": interval,
        "n": str(metric.n),
        "failed": str(result.failed) if result.failed else "",
        **_speed(result),
    }


def _speed(result: RunResult) -> dict[str, str]:
    timings = result.timings
    # in company a request waits for its batch, which says nothing of what one user would see
    alone = timings.get("requests_a_batch") == 1
    latency = (timings.get("latency_seconds") or {}) if alone else {}
    memory = timings.get("peak_device_bytes") or timings.get("peak_resident_bytes")
    return {
        "tokens/s": _short(timings.get("tokens_per_second")),
        "examples/s": _short(timings.get("examples_per_second")),
        "p50 s": _short(latency.get("p50")),
        "p99 s": _short(latency.get("p99")),
        "memory": f"{memory / 2**20:.0f} MiB" if memory else "",
    }


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}"


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
