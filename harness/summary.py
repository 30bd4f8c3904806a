"""Which numbers follow from the statistics? Values, intervals and the breakdown by tags; no model in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
from numpy.typing import NDArray

from harness.api.metrics import Metric
from harness.ledger import IDS_KEPT, Ledger
from harness.results import SAMPLES_LIMIT, Measurement, Samples, Slice
from harness.stats import NOTHING, bounds

# N examples, S statistics of one example
Array = NDArray[np.float64]

DRAWS = 1000
CELLS = 400  # a breakdown by all tags together is left out beyond this many cells


def measurements(metrics: Sequence[Metric], ledger: Ledger, seed: int, draws: int = DRAWS) -> dict[str, Measurement]:
    """Every metric's value and 95% interval over all examples."""
    clusters = [str(number) if number >= 0 else "" for number in ledger.clusters()]
    return {
        metric.name: measurement(metric, ledger.statistics(metric.name), clusters, seed, draws) for metric in metrics
    }


def measurement(
    metric: Metric, statistics_NS: Array, clusters: Sequence[str], seed: int, draws: int = DRAWS
) -> Measurement:
    """One metric's value from its statistics; rows of NaN do not count, and `draws` of 0 gives no interval."""
    counted = statistics_NS[~np.isnan(statistics_NS).any(axis=1)]
    value, ends = nan, NOTHING
    if len(counted):
        value = float(metric.reduce(counted))
        if draws:
            ends = bounds(metric, statistics_NS, clusters, seed=seed, draws=draws)
    return Measurement(
        value=value,
        low=ends.low,
        high=ends.high,
        n=len(counted),
        higher_is_better=metric.higher_is_better,
        unit=metric.unit,
        signature=metric.signature,
        scale=metric.scale,
        method=ends.method,
    )


def current(metric: Metric, ledger: Ledger) -> float | None:
    """The metric over what is finished so far, or None while nothing counts."""
    rows_NS = ledger.so_far(metric.name)
    counted = rows_NS[~np.isnan(rows_NS).any(axis=1)]
    return float(metric.reduce(counted)) if len(counted) else None


def breakdown(metrics: Sequence[Metric], ledger: Ledger, seed: int, draws: int = DRAWS) -> tuple[Slice, ...]:
    """The metrics for each value of each tag (with intervals), then for all tags together (values alone)."""
    tags = ledger.tags()
    keys = sorted({key for found in tags for key in found})
    statistics = {metric.name: ledger.statistics(metric.name) for metric in metrics}
    clusters = [str(number) if number >= 0 else "" for number in ledger.clusters()]
    parts: list[Slice] = []
    for key in keys:
        groups: dict[tuple[str, ...], list[int]] = {}
        for row, found in enumerate(tags):
            if key in found:
                groups.setdefault((found[key],), []).append(row)
        if len(groups) <= CELLS:
            parts += _slices((key,), groups, metrics, statistics, clusters, seed, draws)
    if len(keys) > 1:
        crossed: dict[tuple[str, ...], list[int]] = {}
        for row, found in enumerate(tags):
            if len(found) == len(keys):
                crossed.setdefault(tuple(found[key] for key in keys), []).append(row)
        if len(crossed) <= CELLS:
            parts += _slices(tuple(keys), crossed, metrics, statistics, clusters, seed, 0)
    return tuple(parts)


def samples(metrics: Sequence[Metric], ledger: Ledger) -> Samples | None:
    """Statistics for paired tests; None when they are too many to keep in a result file."""
    statistics = {metric.name: ledger.statistics(metric.name) for metric in metrics}
    if sum(rows.size for rows in statistics.values()) > SAMPLES_LIMIT:
        return None
    clusters, tags = ledger.clusters(), ledger.tags()
    keys = sorted({key for found in tags for key in found}) if len(tags) <= IDS_KEPT else []
    return Samples(
        ids_digest=ledger.ids_digest(),
        statistics=statistics,
        clusters=tuple(clusters) if any(number >= 0 for number in clusters) else (),
        ids=ledger.ids(),
        tags={key: tuple(found.get(key, "") for found in tags) for key in keys},
    )


def _slices(
    keys: tuple[str, ...],
    groups: Mapping[tuple[str, ...], list[int]],
    metrics: Sequence[Metric],
    statistics: Mapping[str, Array],
    clusters: Sequence[str],
    seed: int,
    draws: int,
) -> list[Slice]:
    return [
        Slice(
            tags=dict(zip(keys, values, strict=True)),
            examples=len(rows),
            metrics={
                metric.name: measurement(
                    metric, statistics[metric.name][rows], [clusters[row] for row in rows], seed, draws
                )
                for metric in metrics
            },
        )
        for values, rows in groups.items()
    ]
