"""How do runs of several seeds become one row? Means over seeds, with an interval that holds both examples and seeds.

Runs differ from seed to seed by what is drawn (training cases, first weights), and from example to example by what is
asked. With S seeds on the same examples, h the half-widths of their own intervals and s their standard deviation,

    half-width = sqrt(mean(h)² + (t(S - 1, 97.5%) s / √S)²),

which counts what both share twice rather than not at all; where every seed has examples of its own, s holds them
already and h is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isfinite, nan, sqrt
from statistics import fmean, stdev
from typing import Any

import numpy as np

from harness import environment
from harness.boards.intervals import steady
from harness.boards.records import Record, cell_of
from harness.methods import AND
from harness.results import Measurement, RunResult, Samples, Slice
from harness.student import student

SEED_OF_CELL = 3  # the seed's place in what `cell_of` gives


def groups(records: Sequence[Record]) -> list[list[Record]]:
    """The tables of one protocol, whatever its seeds: rows that were run with the same seeds stand together.

    A contestant with seeds 0 to 4 stands beside others of five seeds as one row, and beside those of seed 0 alone with
    its run of that seed.
    """
    contestants: dict[tuple[str, ...], dict[str, Record]] = {}
    for record in records:
        cell = cell_of(record)
        key = cell[:SEED_OF_CELL] + cell[SEED_OF_CELL + 1 :]
        contestants.setdefault(key, {})[cell[SEED_OF_CELL]] = record
    sets = sorted({frozenset(runs) for runs in contestants.values()}, key=lambda seeds: (len(seeds), sorted(seeds)))
    return [
        [
            merged([runs[seed] for seed in sorted(seeds, key=_number)])
            for runs in contestants.values()
            if seeds <= set(runs)
        ]
        for seeds in sets
    ]


def merged(parts: Sequence[Record]) -> Record:
    """One record that stands for its parts; the part itself where there is one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    runs = [part.result for part in parts]
    same = len({run.samples.ids_digest if run.samples else str(place) for place, run in enumerate(runs)}) == 1
    seeds = [str(run.signature["seed"]) for run in runs]
    metrics = {
        name: _measured([run.metrics[name] for run in runs], same)
        for name in first.result.metrics
        if all(name in run.metrics for run in runs)
    }
    result = replace(
        first.result,
        signature=dict(first.result.signature) | {"seed": ",".join(seeds)},
        digest=hashlib.sha256(" ".join(run.digest for run in runs).encode()).hexdigest()[:16],
        metrics=metrics,
        breakdown=_breakdown(runs, same),
        examples=sum(run.examples for run in runs),
        failed=sum(run.failed for run in runs),
        failures=tuple(kind for run in runs for kind in run.failures),
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)) + _told(runs, seeds),
        samples=_samples(runs, same),
        timings=_timings([run.timings for run in runs]),
        environment=_environment([run.environment for run in runs]),
    )
    return replace(first, result=result, outputs=(), parts=tuple(parts))


def values(record: Record) -> list[float]:
    """The headline of every seed of a row; one number for a row of one."""
    headline = record.result.headline
    return [part.result.metrics[headline].value for part in record.parts or (record,)]


def _measured(found: Sequence[Measurement], same: bool) -> Measurement:
    numbers = [one.value for one in found]
    value = fmean(numbers)
    half = student(len(found) - 1) * stdev(numbers) / sqrt(len(found)) if isfinite(value) else nan
    methods = dict.fromkeys([*(one.method for one in found if same), "t over seeds"])
    if same:
        half = sqrt(fmean((one.high - one.low) / 2 for one in found) ** 2 + half**2)
    low, high = value - half, value + half
    scale = found[0].scale
    if scale is not None:
        low, high = max(low, min(scale)), min(high, max(scale))
    examples = found[0].n if same else sum(one.n for one in found)
    low, high = steady(value, low, high)
    return replace(found[0], value=value, low=low, high=high, n=examples, method=AND.join(methods))


def _breakdown(runs: Sequence[RunResult], same: bool) -> tuple[Slice, ...]:
    """The parts that every seed has."""
    by_tags = [{tuple(sorted(part.tags.items())): part for part in run.breakdown} for run in runs]
    return tuple(
        replace(
            part,
            examples=sum(found[tags].examples for found in by_tags),
            metrics={
                name: _measured([found[tags].metrics[name] for found in by_tags], same)
                for name in part.metrics
                if all(name in found[tags].metrics for found in by_tags)
            },
        )
        for tags, part in by_tags[0].items()
        if all(tags in found for found in by_tags)
    )


def _samples(runs: Sequence[RunResult], same: bool) -> Samples | None:
    """Statistics of the row: means over seeds of the same examples, else all seeds' examples in turn."""
    known = [run.samples for run in runs if run.samples is not None]
    if len(known) < len(runs):
        return None
    names = [name for name in known[0].statistics if all(name in samples.statistics for samples in known)]
    if same:
        averaged = {name: np.mean([samples.statistics[name] for samples in known], axis=0) for name in names}
        return replace(known[0], statistics=averaged)
    joined = {name: np.concatenate([samples.statistics[name] for samples in known]) for name in names}
    clusters: list[int] = []
    for samples in known:
        start = max(clusters, default=-1) + 1
        clusters += [number + start if number >= 0 else -1 for number in samples.clusters]
    whole = len(clusters) == sum(len(next(iter(samples.statistics.values()))) for samples in known)
    digest = hashlib.sha256(" ".join(samples.ids_digest for samples in known).encode()).hexdigest()
    return Samples(digest, joined, clusters=tuple(clusters) if whole else ())


def _timings(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Speeds over all runs together, the largest memory; latencies of single runs stay with them."""

    def over_seeds(name: str, merge: Callable[[list[float]], float]) -> dict[str, Any]:
        numbers = [timings.get(name) for timings in found]
        known = [number for number in numbers if isinstance(number, (int, float)) and number > 0]
        return {name: merge(known)} if len(known) == len(found) else {}

    def pace(speeds: list[float]) -> float:
        return len(speeds) / sum(1 / speed for speed in speeds)

    return {
        **over_seeds("tokens_per_second", pace),
        **over_seeds("examples_per_second", pace),
        **over_seeds("peak_resident_bytes", max),
        **over_seeds("peak_device_bytes", max),
        **over_seeds("energy_joules", sum),
        "requests_a_batch": found[0].get("requests_a_batch", 1),
    }


def _environment(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    loads = [one.get("load") for one in found]
    busiest = max(load for load in loads if isinstance(load, (int, float))) if all(map(_is_number, loads)) else None
    merged = dict(found[0]) | {"load": busiest, "date": max(str(one.get("date", "")) for one in found)}
    return merged | ({"dirty": True} if any(map(environment.changed, found)) else {})


def _told(runs: Sequence[RunResult], seeds: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"seed {seed}: {run.metrics[run.headline].value:.4g} (run {run.digest})"
        for seed, run in zip(seeds, runs, strict=True)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _number(seed: str) -> tuple[int, str]:
    return (int(seed) if seed.lstrip("-").isdigit() else 0, seed)
