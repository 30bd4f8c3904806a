"""compare: test whether runs differ, metric by metric, on the same examples; the first run is the reference."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import finished, multiple, paired, results
from harness.api import registry
from harness.api.errors import UsageError
from harness.pairing import metrics_of
from harness.results import RunResult, Samples
from harness.terminal import plain, table

# the parts of a signature that must agree, or the examples are not the same
SAME = ("task", "task_version", "data", "split", "limit", "seed")
HEADERS = ("metric", "reference", "other", "difference", "95% interval", "p", "p (Holm)", "n", "test")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folders at or below which runs lie (or files of results), reference first",
    )
    parser.add_argument("--draws", type=int, default=1000, help="resamples of each test (1000)")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Print one row a metric and other run; p-values are adjusted over all rows."""
    if options.draws < 1:
        raise UsageError(f"--draws is {options.draws}; it must be 1 or more.")
    files = list(finished.files(options.runs))
    if len(files) < 2:
        raise UsageError(f"compare needs two or more finished runs; {files[0]} is the only one there.")
    groups = _groups([results.load(file) for file in files], apart=len(files) > len(options.runs))
    pairs = [(reference, other) for reference, *others in groups for other in others]
    if not pairs:
        raise UsageError(f"no two of these {len(files)} runs are of one task, split and seed.")
    rows = [row for reference, other in pairs for row in _rows(reference, other, options.draws)]
    for row, adjusted in zip(rows, multiple.holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
    if options.json:
        print(json.dumps([{key: _finite(value) for key, value in row.items()} for row in rows], indent=1))
        return 0
    for reference, other in pairs:
        chosen = [row for row in rows if row["other_digest"] == other.digest]
        print(f"{plain(reference.task)}\n  reference  {_title(reference)}\n  other      {_title(other)}\n")
        print(table([_shown(row) for row in chosen], HEADERS, frozenset(HEADERS[1:4]) | {"p", "p (Holm)", "n"}) + "\n")
    return 0


def _groups(found: Sequence[RunResult], *, apart: bool) -> list[list[RunResult]]:
    """All runs, which must be of one question; or, of a folder that holds several, those of each question together."""
    groups: dict[str, list[RunResult]] = {}
    for run in found:
        question = json.dumps([run.signature.get(key) for key in SAME]) if apart else ""
        groups.setdefault(question, []).append(run)
    return list(groups.values())


def _rows(reference: RunResult, other: RunResult, draws: int) -> list[dict[str, Any]]:
    first, second = _same_examples(reference, other)
    rows = []
    for metric in metrics_of(registry.create("task", reference.task), reference.task):
        if metric.name not in first.statistics or metric.name not in second.statistics:
            continue
        clusters = first.cluster_names() or None
        found = paired.compare(
            metric, first.statistics[metric.name], second.statistics[metric.name], clusters, draws=draws
        )
        rows.append(
            {
                "metric": metric.name,
                "unit": metric.unit,
                "reference": found.first,
                "other": found.second,
                "difference": found.value,
                "low": found.interval[0],
                "high": found.interval[1],
                "p": found.p,
                "test": found.test,
                "examples": found.examples,
                "reference_digest": reference.digest,
                "other_digest": other.digest,
            }
        )
    return rows


def _same_examples(reference: RunResult, other: RunResult) -> tuple[Samples, Samples]:
    for key in SAME:
        ours, theirs = reference.signature.get(key), other.signature.get(key)
        if ours != theirs:
            raise UsageError(f"the runs cannot be paired: {key} is {ours!r} in the first and {theirs!r} in the other.")
    for run in (reference, other):
        if run.samples is None:
            raise UsageError(f"{_title(run)} kept no per-example statistics; it is too large to pair from its result.")
    assert reference.samples is not None
    assert other.samples is not None
    if reference.samples.ids_digest != other.samples.ids_digest:
        raise UsageError("the runs cannot be paired: they did not see the same examples.")
    return reference.samples, other.samples


def _title(run: RunResult) -> str:
    return plain(" + ".join(part for part in (run.model, run.decoder) if part))


def _shown(row: dict[str, Any]) -> dict[str, str]:
    return {
        "metric": row["metric"] + (f" ({row['unit']})" if row["unit"] else ""),
        "reference": f"{row['reference']:.4g}",
        "other": f"{row['other']:.4g}",
        "difference": f"{row['difference']:+.4g}",
        "95% interval": f"[{row['low']:+.4g}, {row['high']:+.4g}]",
        "p": f"{row['p']:.3g}",
        "p (Holm)": f"{row['p_holm']:.3g}",
        "n": str(row["examples"]),
        "test": row["test"],
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
