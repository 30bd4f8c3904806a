"""Who is best, and who cannot be told apart? Results of one task as a ranked markdown table; pure functions.

Rows are ranked by the headline metric. Two rows share a letter when a paired test over the same examples does not
separate them, and a row's rank is one more than the number of rows that are surely better. Speeds stand beside the
device that they were measured on and are never ranked here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import erfc, isfinite, isnan, nan, sqrt

import numpy as np

from harness import pairing
from harness.api import registry
from harness.api.errors import UsageError
from harness.api.metrics import Array, Metric
from harness.multiple import holm, letters
from harness.results import RunResult
from harness.stats import clean, resample
from harness.terminal import plain

# K rows, N examples, S statistics of one example, R resamples
LEVEL = 0.05
DRAWS = 1000
# results are comparable only where all of these agree
PROTOCOL = ("task", "task_version", "data", "split", "limit", "seed", "metrics")
HEADERS = (
    "rank", "model", "metric", "value", "95% interval", "same as", "n", "failed", "tokens/s", "examples/s", "p50 s",
    "p99 s", "memory", "parameters", "device", "budget", "date", "signature",
)  # fmt: skip
RIGHT = frozenset({"rank", "value", "n", "failed", "tokens/s", "examples/s", "p50 s", "p99 s", "memory", "parameters"})


@dataclass(frozen=True, slots=True)
class Standing:
    """One result's place among those that it can be compared with."""

    result: RunResult
    rank: int  # 0: nothing counted, so that it has no rank
    letters: str


def boards(results: Sequence[RunResult]) -> str:
    """Markdown with one table a protocol; the same results give the same bytes in any order."""
    groups: dict[tuple[str, ...], list[RunResult]] = {}
    for result in sorted(results, key=lambda item: (item.task, item.model, item.decoder or "", item.digest)):
        groups.setdefault(tuple(str(result.signature.get(key)) for key in PROTOCOL), []).append(result)
    parts = []
    for group in groups.values():
        signature = group[0].signature
        limit = "all examples" if signature.get("limit") is None else f"the first {signature['limit']} examples"
        caption = f"{signature['split']} split, {limit}, seed {signature['seed']}, data {signature.get('data')}"
        parts.append(f"### {_inert(group[0].task)}\n\n{_inert(caption)}\n\n{table(standings(group))}")
    return "\n\n".join(parts)


def standings(group: Sequence[RunResult]) -> list[Standing]:
    """Ranks and letters of results that share a protocol, best first; those without a value come last.

    Errors: UsageError when they do not share one.
    """
    for key in PROTOCOL:
        if len({str(result.signature.get(key)) for result in group}) > 1:
            raise UsageError(f"results that differ in {key} cannot be ranked together.")
    ranked = [result for result in group if not isnan(_headline(result))]
    rest = [Standing(result, 0, "") for result in group if isnan(_headline(result))]
    if not ranked:
        return rest
    sign = -1.0 if ranked[0].metrics[ranked[0].headline].higher_is_better else 1.0
    ranked.sort(key=lambda result: (sign * _headline(result), result.model, result.decoder or "", result.digest))
    different = separated(ranked)
    shown = letters(len(ranked), different)
    better = [sum(pair[1] == row for pair in different) for row in range(len(ranked))]
    return [Standing(result, 1 + better[row], shown[row]) for row, result in enumerate(ranked)] + rest


def separated(ranked: Sequence[RunResult], level: float = LEVEL, draws: int = DRAWS) -> list[tuple[int, int]]:
    """Pairs of rows (the better one first) that a paired bootstrap tells apart, Holm over all pairs.

    All rows are resampled alike, once; p is that of difference / bootstrap standard error under the normal law, since
    counting resamples could never pass Holm over the pairs of fifty rows. Rows without per-example statistics, or with
    other examples than the first that has them, are never told apart.
    """
    metric = _metric(ranked[0])
    kept, runs, groups = _aligned(ranked)
    if metric is None or len(kept) < 2 or len(runs[0]) < 2:
        return []
    values_KR = resample(metric, runs, groups, draws=draws)
    pairs, p_values = [], []
    for left, right in combinations(range(len(kept)), 2):
        spread = float(np.std(values_KR[left] - values_KR[right]))
        distance = abs(metric.reduce(runs[left]) - metric.reduce(runs[right]))
        p_values.append(erfc(distance / spread / sqrt(2)) if spread > 0 else float(distance == 0))
        pairs.append((kept[left], kept[right]))
    return [pair for pair, p in zip(pairs, holm(p_values), strict=True) if p < level]


def table(rows: Sequence[Standing]) -> str:
    """A markdown table whose cells can neither end it nor become markup; columns that are empty are left out."""
    from tabulate import tabulate

    cells = [_cells(row) for row in rows]
    headers = [header for header in HEADERS if any(cell[header] for cell in cells)]
    body = [[_inert(cell[header]) for header in headers] for cell in cells]
    sides = ["right" if header in RIGHT else "left" for header in headers]
    return tabulate(body, headers=headers, tablefmt="github", colalign=sides, disable_numparse=True)


def _aligned(ranked: Sequence[RunResult]) -> tuple[list[int], list[Array], np.ndarray | None]:
    """Rows with the same examples, their statistics without examples that any of them does not count, clusters."""
    chosen = [
        (row, result.samples)
        for row, result in enumerate(ranked)
        if result.samples is not None and result.headline in result.samples.statistics
    ]
    if not chosen:
        return [], [], None
    first = chosen[0][1]
    chosen = [(row, samples) for row, samples in chosen if samples.ids_digest == first.ids_digest]
    wide = [samples.statistics[ranked[0].headline] for _, samples in chosen]
    rows, groups = clean(np.concatenate(wide, axis=1), first.cluster_names() or None)
    return [row for row, _ in chosen], np.split(rows, len(wide), axis=1), groups


def _metric(result: RunResult) -> Metric | None:
    """The headline's metric object; None for a result from elsewhere, whose task is not registered here."""
    try:
        task = registry.create("task", result.task)
    except UsageError:
        return None
    return next((item for item in pairing.metrics_of(task, result.task) if item.name == result.headline), None)


def _headline(result: RunResult) -> float:
    value = result.metrics[result.headline].value
    return value if isfinite(value) else nan


def _cells(standing: Standing) -> dict[str, str]:
    result = standing.result
    metric, timings = result.metrics[result.headline], result.timings
    latency = timings.get("latency_seconds") or {}
    memory = timings.get("peak_device_bytes") or timings.get("peak_resident_bytes")
    budget = result.signature.get("budget") or {}
    known = isfinite(metric.low) and isfinite(metric.high)
    return {
        "rank": str(standing.rank or ""),
        "model": " + ".join(part for part in (result.model, result.decoder) if part),
        "metric": f"{result.headline} {'↑' if metric.higher_is_better else '↓'}",
        "value": f"{metric.value:.4g}{metric.unit if metric.unit == '%' else ''}" if isfinite(metric.value) else "none",
        "95% interval": f"[{metric.low:.4g}, {metric.high:.4g}]" if known else "",
        "same as": standing.letters,
        "n": str(metric.n),
        "failed": str(result.failed) if result.failed else "",
        "tokens/s": _short(timings.get("tokens_per_second")),
        "examples/s": _short(timings.get("examples_per_second")),
        "p50 s": _short(latency.get("p50")),
        "p99 s": _short(latency.get("p99")),
        "memory": f"{memory / 2**20:.0f} MiB" if memory else "",
        "parameters": _count(result.identity.get("parameters")),
        "device": str(result.environment.get("accelerator") or result.environment.get("cpu") or ""),
        "budget": " ".join(f"{name}={spent:g}" for name, spent in budget.items() if spent),
        "date": str(result.environment.get("date", ""))[:10],
        "signature": result.digest,
    }


def _inert(text: object) -> str:
    """Model names and digests are data: nothing in them ends a cell or is read as markup."""
    return re.sub(r"[\\`*<>|&]|\](?=[(\[])|(?<!\w)_|_(?!\w)", lambda sign: f"&#{ord(sign.group())};", plain(str(text)))


def _short(number: float | None) -> str:
    return f"{number:.3g}" if isinstance(number, (int, float)) and isfinite(number) else ""


def _count(number: object) -> str:
    if not isinstance(number, (int, float)) or not isfinite(number):
        return ""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:g}"
