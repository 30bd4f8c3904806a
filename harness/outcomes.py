"""How finished cells are shown: quality with its interval beside speed, failures and refusals with their reasons."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import results
from harness.api.errors import DataError
from harness.boards.records import Record, with_superseded
from harness.cache import write_whole
from harness.environment import busy
from harness.journal import RESULT
from harness.methods import legend, mark
from harness.planning import Cell, Refusal
from harness.results import RunResult
from harness.runner import Finished, Outcome
from harness.terminal import plain, table
from harness.whole import sweep

HEADERS = ("task", "model", "decoder", "seed", "metric", "value", "95% interval", "n", "failed")
SPEED = ("tokens/s", "examples/s", "p50 s", "p99 s", "memory")
NUMBERS = frozenset({"seed", "value", "n", "failed", *SPEED})
MARK = "†"  # behind a speed: other work ran beside it
REASON = 60  # characters of a reason within the table; the whole of it follows below


def as_table(outcomes: Sequence[Outcome], refusals: Sequence[Refusal] = ()) -> str:
    """One row a cell: the headline metric with its 95% interval, what failed, and the speed; below, what marks say."""
    rows = [_row(outcome) for outcome in outcomes]
    rows += [_named(refusal.cell) | {"metric": "refused"} for refusal in refusals]
    seeds = {row["seed"] for row in rows}
    headers = [header for header in HEADERS + SPEED if any(row.get(header) for row in rows)]
    shown = table(rows, [header for header in headers if header != "seed" or len(seeds) > 1], NUMBERS)
    return "\n".join([shown, *_legend(rows), *_intervals_told(outcomes)])


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
                        "method": metric.method,
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


def write_board(outcomes: Sequence[Outcome], out: Path) -> tuple[Path, list[str]]:
    """A markdown leaderboard of all finished runs in a folder, and of what failed just now.

    Gives its path, and a line for each result that cannot be read. Of several runs of one cell the newest counts.
    """
    path = out / "leaderboard.md"
    found: list[Record] = []
    problems: list[str] = []
    for file in sorted(out.rglob(RESULT)):
        try:
            found.append(Record(results.load(file)))
        except DataError as problem:
            problems.append(str(problem))
    current = [record.result for record in with_superseded(found) if not record.superseded_by]
    sweep(out)
    write_whole(path, as_markdown([*map(_outcome, current), *(one for one in outcomes if one.finished is None)]))
    return path, problems


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
        shown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append("\n\n".join([f"### {_inert(task)}", shown, *_legend(rows)]))
    return "\n\n".join([*parts, *_intervals_told(outcomes)])


def _inert(text: str) -> str:
    return re.sub(r"[\\`*<>|&]|(?<!\w)_|_(?!\w)", lambda sign: f"&#{ord(sign.group())};", plain(text))


def _outcome(result: RunResult) -> Outcome:
    cell = Cell(result.task, result.model, result.decoder, seed=result.signature["seed"])
    return Outcome(cell, Finished(result, Path()))


def _legend(rows: Sequence[dict[str, Any]]) -> list[str]:
    marked = any(row.get(name, "").endswith(MARK) for row in rows for name in SPEED)
    return [f"{MARK} taken while other work ran on the machine: a lower bound of its speed."] if marked else []


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
    interval = f"[{metric.low:.4g}, {metric.high:.4g}] {mark(metric.method)}" if math.isfinite(metric.low) else "none"
    return row | {
        "metric": f"{result.headline} {better}",
        "value": f"{metric.value:.4g}{metric.unit if metric.unit == '%' else ''}",
        "95% interval": interval,
        "n": str(metric.n),
        "failed": str(result.failed) if result.failed else "",
        **_speed(result),
    }


def _intervals_told(outcomes: Sequence[Outcome]) -> list[str]:
    """The line below a table that says what the letters after its intervals mean."""
    results = [outcome.finished.result for outcome in outcomes if outcome.finished is not None]
    found = [result.metrics[result.headline] for result in results if not result.all_failed]
    told = legend(mark(metric.method) for metric in found if math.isfinite(metric.low))
    return [f"95% interval: {told}."] if told else []


def _speed(result: RunResult) -> dict[str, str]:
    timings = result.timings
    # in company a request waits for its batch, which says nothing of what one user would see
    alone = timings.get("requests_a_batch") == 1
    latency = (timings.get("latency_seconds") or {}) if alone else {}
    memory = timings.get("peak_device_bytes") or timings.get("peak_resident_bytes")
    mark = MARK if busy(result.environment) else ""
    speeds = {
        "tokens/s": _short(timings.get("tokens_per_second")),
        "examples/s": _short(timings.get("examples_per_second")),
        "p50 s": _short(latency.get("p50")),
        "p99 s": _short(latency.get("p99")),
    }
    return {name: speed and speed + mark for name, speed in speeds.items()} | {
        "memory": f"{memory / 2**20:.0f} MiB" if memory else "",
    }


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}"


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
