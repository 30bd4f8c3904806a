"""Is a result's value what its own samples give? Asked before a board believes it."""

from __future__ import annotations

from functools import cache
from math import isclose, isfinite, isnan, nan

import numpy as np

from harness import pairing
from harness.api import registry
from harness.api.errors import DataError, HarnessError
from harness.api.metrics import Metric
from harness.boundary import foreign
from harness.results import RunResult


def check(result: RunResult, origin: str) -> None:
    """DataError when a metric that is known here, under the result's own signature, gives another value of its samples.

    A metric of a plug-in that is not installed, or of another version, vouches for nothing and is passed over.
    """
    if result.samples is None:
        return
    known = known_metrics(result.task)
    for name, found in result.metrics.items():
        rows_NS = result.samples.statistics.get(name)
        metric = known.get((name, found.signature))
        if metric is None or rows_NS is None or not found.n:
            continue
        counted_NS = rows_NS[~np.isnan(rows_NS).any(axis=1)]
        try:
            with foreign(f"{origin}: metric {name}"), np.errstate(all="ignore"):
                value = float(metric.reduce(counted_NS))
        except HarnessError as problem:
            raise DataError(f"{origin}: its samples of {name} cannot be brought together: {problem}") from problem
        # what is not finite is stored as nothing
        value = value if isfinite(value) else nan
        if isnan(value) != isnan(found.value) or not (isnan(value) or _same(value, found.value)):
            raise DataError(f"{origin}: its {name} is {found.value:.6g}, but its samples give {value:.6g}.")


def _same(value: float, other: float) -> bool:
    """Whether two computations of one number agree but for rounding."""
    return isclose(value, other, rel_tol=1e-6, abs_tol=1e-9)


@cache
def known_metrics(task: str) -> dict[tuple[str, str], Metric]:
    """The task's metrics by name and signature; none for a task that is not here."""
    try:
        found = pairing.metrics_of(registry.create("task", task), task)
    except HarnessError:
        # of another version, or a plug-in that is not installed
        return {}
    return {(metric.name, metric.signature): metric for metric in found}
