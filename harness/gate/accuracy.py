"""Is the candidate less accurate than the record? Paired tests on the same examples, Holm over all cells, a margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from harness import pairing, results
from harness.api import registry
from harness.api.errors import DataError, HarnessError
from harness.api.metrics import Array, Metric
from harness.api.types import Budget
from harness.gate.verdicts import Kind, Verdict
from harness.multiple import holm
from harness.paired import Difference, compare, examples_needed
from harness.planning import Cell
from harness.results import RunResult

# what a check may find changed without comparing apples with pears: the code under test and where it ran
UNDER_TEST = frozenset(
    {"harness", "code", "libraries", "weights", "decoder_weights", "machine", "accelerator", "device"}
)

# cell's name, metric, reference and candidate statistics [N, S], clusters
Pair = tuple[str, Metric, Array, Array, Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class AccuracyRules:
    """How much worse matters, and how sure one must be."""

    margin: float = 0.01  # share of the metric's scale (a point of accuracy or BLEU), else of the reference value
    # two-sided, over all cells: half of it falls on losses, so that an unchanged check alarms in at most 2% of cases
    level: float = 0.04
    draws: int = 2000
    all_metrics: bool = False  # else the headline alone


def judge(pairs: Sequence[Pair], rules: AccuracyRules) -> list[Verdict]:
    """One verdict a pair, in order.

    With d the change towards better, [low, high] its 95% interval, and m the margin:

    - worse (better): Holm-adjusted p < level and d <= -m (d >= m);
    - same: no example changed, or low > -m, so that a loss that matters is ruled out;
    - undecided: anything else; about `needed` examples would tell.
    """
    found = [
        compare(metric, reference, candidate, clusters, draws=rules.draws)
        for _, metric, reference, candidate, clusters in pairs
    ]
    adjusted = holm([difference.p for difference in found])
    return [
        _unchanged(pair, difference) if _equal(pair) else _verdict(pair[0], pair[1], difference, p, rules)
        for pair, difference, p in zip(pairs, found, adjusted, strict=True)
    ]


def check_results(
    reference: Mapping[str, RunResult], candidate: Mapping[str, Sequence[RunResult]], rules: AccuracyRules
) -> list[Verdict]:
    """Verdicts for every cell of either side; a cell whose protocol or data changed is an error that names them."""
    pairs: list[Pair] = []
    others: list[Verdict] = []
    for cell, old in reference.items():
        options = candidate.get(cell, ())
        if not options:
            others.append(_error(cell, old.headline, "it has a record but the candidate has no result of it"))
            continue
        # newest last: of several results the newest with the record's protocol counts
        fitting = [new for new in options if not protocol_changes(old, new)]
        if not fitting:
            changes = "; ".join(protocol_changes(old, options[-1]))
            others.append(_error(cell, old.headline, f"not comparable, the protocol changed: {changes}"))
            continue
        try:
            pairs += _pairs(cell, old, fitting[-1], rules)
        except HarnessError as problem:
            others.append(_error(cell, old.headline, str(problem)))
    for cell, options in candidate.items():
        if cell not in reference:
            others.append(Verdict("accuracy", cell, options[-1].headline, "new", "no record to compare with"))
    return judge(pairs, rules) + others


def protocol_changes(old: RunResult, new: RunResult) -> list[str]:
    """The parts of the signature that must agree and do not, as "key: old -> new"."""
    keys = sorted((old.signature.keys() | new.signature.keys()) - UNDER_TEST)
    return [
        f"{key}: {_short(old.signature.get(key))} -> {_short(new.signature.get(key))}"
        for key in keys
        if old.signature.get(key) != new.signature.get(key)
    ]


def cell_name(result: RunResult) -> str:
    """Task, model, decoder and seed: what makes two results the same cell."""
    decoder = f" + {result.decoder}" if result.decoder else ""
    seed = result.signature["seed"]
    return f"{result.task} x {result.model}{decoder}" + (f" (seed {seed})" if seed else "")


def cell_of(record: RunResult) -> Cell:
    """The cell that has to run now to be comparable with a record."""
    signature = record.signature
    budget = signature.get("budget") or {}
    unknown = set(budget) - {item.name for item in fields(Budget)}
    if unknown:
        raise DataError(f"{cell_name(record)} has a budget of {', '.join(sorted(unknown))}, which is not known here.")
    return Cell(
        task=record.task,
        model=record.model,
        decoder=record.decoder,
        split=str(signature["split"]),
        limit=signature.get("limit"),
        seed=int(signature["seed"]),
        dtype=str(signature.get("dtype", "auto")),
        budget=Budget(**budget),
    )


def load_results(path: Path) -> tuple[list[RunResult], list[Verdict]]:
    """Results below a folder (or one file), oldest first, and an error verdict for each file that is none.

    A folder of runs is read by its `result.json` files, a folder of records by all its JSON files. Their age is the
    date that they carry: a file's own time is that of the checkout.
    """
    if not path.exists():
        raise DataError(f"no results at {path}; give a folder of records or runs.")
    files = [path] if path.is_file() else sorted(path.rglob("result.json")) or sorted(path.rglob("*.json"))
    loaded: list[RunResult] = []
    broken: list[Verdict] = []
    for file in sorted(files):
        try:
            loaded.append(results.load(file))
        except DataError as problem:
            broken.append(_error(str(file), "", str(problem)))
    if not loaded and not broken:
        raise DataError(f"{path} holds no results.")
    return sorted(loaded, key=lambda result: (str(result.environment.get("date", "")), result.digest)), broken


def _pairs(cell: str, old: RunResult, new: RunResult, rules: AccuracyRules) -> list[Pair]:
    if old.samples is None or new.samples is None:
        raise DataError("one of the two kept no per-example statistics, so that they cannot be paired")
    metrics = pairing.metrics_of(registry.create("task", old.task), old.task)
    chosen = [metric for metric in metrics if metric.name in old.metrics]
    if not chosen:
        raise DataError(f"the task no longer has the record's metrics ({', '.join(old.metrics)})")
    found: list[Pair] = []
    for metric in chosen if rules.all_metrics else chosen[:1]:
        first, second, clusters = results.pair(old.samples, new.samples, metric.name)
        found.append((cell, metric, first, second, clusters))
    return found


def _equal(pair: Pair) -> bool:
    return bool(np.array_equal(pair[2], pair[3], equal_nan=True) and not np.isnan(pair[2]).all())


def _unchanged(pair: Pair, found: Difference) -> Verdict:
    """Equal statistics in every example need no statistics to judge."""
    return Verdict(
        "accuracy",
        pair[0],
        pair[1].name,
        "same",
        "no example changed",
        reference=found.first,
        candidate=found.second,
        change=0.0,
        low=0.0,
        high=0.0,
        p=1.0,
        count=found.examples,
    )


def _verdict(cell: str, metric: Metric, found: Difference, p: float, rules: AccuracyRules) -> Verdict:
    sign = 1.0 if metric.higher_is_better else -1.0
    margin = rules.margin * _width(metric, found.first)
    low = min(sign * end for end in found.interval)
    gain = sign * found.value
    kind: Kind
    if found.examples == 0 or not isfinite(gain):
        kind, reason = "undecided", "no example counts in both"
    elif p < rules.level and gain <= -margin:
        kind, reason = "worse", f"lost {-gain:.4g} {metric.unit}".rstrip()
    elif p < rules.level and gain >= margin:
        kind, reason = "better", f"gained {gain:.4g} {metric.unit}".rstrip()
    elif low > -margin:
        kind, reason = "same", f"a loss of {margin:.3g} or more is ruled out"
    else:
        kind, reason = "undecided", f"a loss of up to {-low:.3g} is possible, and {margin:.3g} matters"
    needed = 0
    if kind == "undecided":
        needed = max(examples_needed(found, margin), found.examples + 1)
        reason += f"; about {needed:,} examples would tell, {found.examples:,} were run"
    return Verdict(
        "accuracy",
        cell,
        metric.name,
        kind,
        reason,
        reference=found.first,
        candidate=found.second,
        change=found.value,
        low=found.interval[0],
        high=found.interval[1],
        p=p,
        count=found.examples,
        needed=needed,
    )


def _width(metric: Metric, value: float) -> float:
    if metric.scale is not None and np.isfinite(metric.scale).all():
        return abs(metric.scale[1] - metric.scale[0])
    return abs(value)


def _error(cell: str, metric: str, reason: str) -> Verdict:
    return Verdict("accuracy", cell, metric, "error", reason)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
