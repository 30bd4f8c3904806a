"""How sure is a published number by today's methods? Intervals anew from a record's own statistics, in memory alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isclose, nan

import numpy as np

from harness.api.errors import HarnessError, UsageError
from harness.api.metrics import Array, MeanMetric, Metric
from harness.api.types import Example, Response
from harness.boards.agreement import known_metrics
from harness.boundary import foreign
from harness.results import Measurement, RunResult, Samples, Slice
from harness.stats import bounds, clean

# N examples, S statistics of one example
DRAWS = 1000


@dataclass(frozen=True)
class StoredMean(MeanMetric):
    """The mean of a stored number; nothing is measured."""

    scale: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """Unused."""
        return "mean"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Never asked: the statistics are there."""
        raise UsageError("stored statistics are not measured again.")


def with_todays(result: RunResult) -> RunResult:
    """The result with the interval of each metric whose statistics it holds, in parts by one tag too.

    The others stay as stored, and say by which method. Values never change: where the metric of today does not give
    the stored value from the stored statistics, its interval is not that number's.
    """
    samples = result.samples
    if samples is None:
        return result
    metrics = {name: _todays(result.task, name, found, samples) for name, found in result.metrics.items()}
    parts = tuple(_slice(result.task, part, samples) for part in result.breakdown)
    return replace(result, metrics=metrics, breakdown=parts)


def steady(value: float, low: float, high: float) -> tuple[float, float]:
    """An interval's ends to ten digits, the value still within: pages are compared byte for byte.

    The last digits are another release's of NumPy or SciPy.
    """
    ends = (float(f"{low:.10g}"), float(f"{high:.10g}"))
    return (min(ends[0], value), max(ends[1], value)) if low <= value <= high else ends


def reducer(task: str, name: str, found: Measurement, rows_NS: Array) -> Metric | None:
    """What makes the value of the statistics [N, S]: the task's own metric, else a plain mean; each where it does.

    None for a result from elsewhere, or of another version, whose metric is not here.
    """
    # the value says whether a metric of another signature still gives that number
    metric = next((metric for (known, _), metric in known_metrics(task).items() if known == name), None)
    known_NS, _ = clean(rows_NS)
    if metric is not None and len(known_NS):
        try:
            with foreign(f"metric {name}"):
                value = metric.reduce(known_NS)
        except HarnessError:
            # statistics of another width, by the metric of another version
            value = nan
        if isclose(value, found.value, rel_tol=1e-9, abs_tol=1e-12):
            return metric
    return StoredMean(found.scale) if is_mean(found.value, rows_NS) else None


def is_mean(value: float, rows_NS: Array) -> bool:
    """Whether the value is the mean of the one number that each example holds."""
    if rows_NS.shape[1:] != (1,):
        return False
    counted = rows_NS[~np.isnan(rows_NS)]
    return bool(len(counted)) and isclose(float(counted.mean()), value, rel_tol=1e-9, abs_tol=1e-12)


def _todays(
    task: str, name: str, found: Measurement, samples: Samples, rows: Sequence[int] | None = None
) -> Measurement:
    statistics_NS = samples.statistics.get(name)
    if statistics_NS is None:
        return found
    names = samples.cluster_names()
    if rows is not None:
        statistics_NS, names = statistics_NS[rows], [names[row] for row in rows] if names else names
    metric = reducer(task, name, found, statistics_NS)
    if metric is None:
        return found
    ends = bounds(metric, statistics_NS, names or None, draws=DRAWS)
    low, high = steady(found.value, ends.low, ends.high)
    return replace(found, low=low, high=high, method=ends.method)


def _slice(task: str, part: Slice, samples: Samples) -> Slice:
    if len(part.tags) != 1:
        # parts by several tags have values alone
        return part
    ((key, value),) = part.tags.items()
    rows = [row for row, tag in enumerate(samples.tags.get(key, ())) if tag == value]
    if len(rows) != part.examples:
        return part
    return replace(
        part, metrics={name: _todays(task, name, found, samples, rows) for name, found in part.metrics.items()}
    )
