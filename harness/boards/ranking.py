"""Who is best, and who cannot be told apart? Ranks and letters of records that share a protocol; pure functions.

Rows are ranked by the headline metric. Two rows share a letter when a paired test over the same examples does not
separate them, and a row's rank is one more than the number of rows that are surely better.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isclose, isfinite, nan

import numpy as np
from numpy.typing import NDArray

from harness import pairing
from harness.api import registry
from harness.api.errors import HarnessError, UsageError
from harness.api.metrics import Array, MeanMetric, Metric
from harness.api.types import Example, Response
from harness.boards.records import Record
from harness.boards.seeds import values
from harness.multiple import holm, letters
from harness.stats import clean, resample

# K rows, N examples, S statistics of one example, R resamples
LEVEL = 0.05
DRAWS = 1000
COMPARED = 100  # rows of one table that are compared pairwise, best first; the rest have their order alone
# records are comparable only where all of these agree
PROTOCOL = ("task", "task_version", "data", "split", "limit", "seed", "metrics")


@dataclass(frozen=True, slots=True)
class Standing:
    """One record's place among those that it can be compared with."""

    record: Record
    rank: int  # 0: nothing counted or it was imported, so that it has no rank
    letters: str  # "" beyond the rows that are compared


def protocol(record: Record, seed: bool = True) -> tuple[str, ...]:
    """What must agree before two records may be ranked together; without the seed, where seeds are brought together."""
    signature = record.result.signature
    return tuple(
        json.dumps(signature.get(key), sort_keys=True, default=str) for key in PROTOCOL if seed or key != "seed"
    )


def standings(group: Sequence[Record]) -> list[Standing]:
    """Ranks and letters of records that share a protocol, best first; those without a value come last.

    Errors: UsageError when they do not share one.
    """
    protocols = [protocol(record) for record in group]
    for place, key in enumerate(PROTOCOL):
        if len({found[place] for found in protocols}) > 1:
            raise UsageError(f"results that differ in {key} cannot be ranked together.")
    ranked = [record for record in group if isfinite(headline(record))]
    rest = [Standing(record, 0, "") for record in group if not isfinite(headline(record))]
    if not ranked:
        return rest
    first = ranked[0].result
    sign = -1.0 if first.metrics[first.headline].higher_is_better else 1.0
    ranked.sort(key=lambda record: (sign * headline(record), *_names(record)))
    compared, others = ranked[:COMPARED], ranked[COMPARED:]
    different = separated(compared)
    shown = letters(len(compared), different)
    better = [0] * len(compared)
    for _, worse in different:
        better[worse] += 1
    found = [Standing(record, 1 + better[row], shown[row]) for row, record in enumerate(compared)]
    return found + [Standing(record, len(compared) + 1 + row, "") for row, record in enumerate(others)] + rest


def separated(ranked: Sequence[Record], level: float = LEVEL, draws: int = DRAWS) -> list[tuple[int, int]]:
    """Pairs of rows (the better one first) that a paired bootstrap tells apart, Holm over all pairs.

    All rows are resampled alike, once; p is that of difference / bootstrap standard error under Student's law with
    U - 1 degrees of freedom for U examples (or clusters), since counting resamples could never pass Holm over the pairs
    of fifty rows. A difference that is the same in every example has p = 2^(1 - U), that of swapping them. Rows without
    per-example statistics, or with other examples than the first that has them, are never told apart.

    Rows of several seeds must differ beyond what seeds do: the variance of their difference over seeds, over S, is
    added to the bootstrap's, with Welch and Satterthwaite's degrees of freedom.
    """
    kept, runs, groups = _aligned(ranked)
    metric = metric_of(ranked, kept)
    if metric is None or len(kept) < 2 or len(runs[0]) < 2:
        return []
    values_KR = resample(metric, runs, groups, draws=draws)
    value_K = np.array([metric.reduce(run) for run in runs])
    spread_KK = _spreads(values_KR)
    units = len(runs[0]) if groups is None else int(groups.max()) + 1
    left_P, right_P = np.triu_indices(len(kept), 1)
    distance_P, spread_P = np.abs(value_K[left_P] - value_K[right_P]), spread_KK[left_P, right_P]
    p_values = _student(distance_P, spread_P, units, _over_seeds([ranked[row] for row in kept], left_P, right_P))
    pairs = [(kept[left], kept[right]) for left, right in zip(left_P.tolist(), right_P.tolist(), strict=True)]
    return [pair for pair, p in zip(pairs, holm(p_values), strict=True) if p < level]


def headline(record: Record) -> float:
    """The headline's value; NaN when it has none or it is infinite."""
    value = record.result.metrics[record.result.headline].value
    return value if isfinite(value) else nan


def wins(first: Record, second: Record) -> tuple[int, int, int] | None:
    """Examples that the first answers better, equally, worse by the headline's statistics; None if not comparable.

    Only for metrics that are the mean of one number an example.
    """
    kept, runs, _ = _aligned([first, second])
    if len(kept) < 2 or not isinstance(metric_of([first, second], kept), MeanMetric):
        return None
    found = first.result.metrics[first.result.headline]
    gain_N = (runs[0] - runs[1])[:, 0] * (1.0 if found.higher_is_better else -1.0)
    return int((gain_N > 0).sum()), int((gain_N == 0).sum()), int((gain_N < 0).sum())


@dataclass(frozen=True)
class _Mean(MeanMetric):
    """The mean of a stored number; nothing is measured."""

    @property
    def name(self) -> str:
        """Unused."""
        return "mean"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Never asked: the statistics are there."""
        raise UsageError("stored statistics are not measured again.")


def _over_seeds(records: Sequence[Record], left_P: NDArray[np.int64], right_P: NDArray[np.int64]) -> tuple[Array, int]:
    """Variance of the mean of each pair's difference over seeds, and how many seeds; (0, 1) for rows of one run."""
    counts = {len(record.parts) for record in records}
    if counts == {0}:
        return np.zeros(len(left_P)), 1
    values_KS = np.array([values(record) for record in records])
    difference_PS = values_KS[left_P] - values_KS[right_P]
    return difference_PS.var(axis=1, ddof=1) / values_KS.shape[1], values_KS.shape[1]


def _student(distance_P: Array, spread_P: Array, units: int, seeds: tuple[Array, int]) -> list[float]:
    """Two-sided p-values of differences with these bootstrap standard errors, and these variances over seeds."""
    from scipy.special import stdtr  # a tenth of the time that importing scipy.stats takes

    if units < 2:
        return [1.0] * len(distance_P)
    # the bootstrap's variance divides by U, not by U - 1
    examples_P = spread_P**2 * (units / (units - 1))
    seeds_P, count = seeds
    error_P = np.sqrt(examples_P + seeds_P)
    freedom_P = np.full(len(distance_P), float(units - 1))
    if count > 1:
        parts_P = examples_P**2 / (units - 1) + seeds_P**2 / (count - 1)
        np.divide(error_P**4, parts_P, out=freedom_P, where=parts_P > 0)
    constant_P = np.where(distance_P > 0, 2.0 ** (1 - units), 1.0)
    ratio_P = np.divide(distance_P, error_P, out=np.zeros_like(distance_P), where=error_P > 0)
    return [float(p) for p in np.where(error_P > 0, 2 * stdtr(freedom_P, -ratio_P), constant_P)]


def _spreads(values_KR: Array) -> NDArray[np.float64]:
    """Standard deviation of every difference of two rows [K, K], over the resamples in which both have a value."""
    if np.isfinite(values_KR).all():
        centred_KR = values_KR - values_KR.mean(axis=1, keepdims=True)
        products_KK = centred_KR @ centred_KR.T / values_KR.shape[1]
        squares_K = np.diag(products_KK)
        variance_KK = squares_K[:, None] + squares_K[None, :] - 2 * products_KK
        # rounding leaves a little where two rows are equal
        scale_KK = np.maximum(squares_K[:, None], squares_K[None, :])
        return np.asarray(np.sqrt(np.where(variance_KK > 1e-12 * scale_KK, variance_KK, 0.0)))
    rows = len(values_KR)
    spread_KK = np.zeros((rows, rows))
    for left, right in combinations(range(rows), 2):
        difference_R = values_KR[left] - values_KR[right]
        known_R = difference_R[np.isfinite(difference_R)]
        spread_KK[left, right] = float(np.std(known_R)) if len(known_R) > 1 else np.inf
    return spread_KK


def _aligned(ranked: Sequence[Record]) -> tuple[list[int], list[Array], NDArray[np.int64] | None]:
    """Rows with the same examples, their statistics without examples that any of them does not count, clusters."""
    name = ranked[0].result.headline
    chosen = [
        (row, record.result.samples)
        for row, record in enumerate(ranked)
        if record.result.samples is not None and name in record.result.samples.statistics
    ]
    if not chosen:
        return [], [], None
    first = chosen[0][1]
    shape = first.statistics[name].shape
    chosen = [
        (row, samples)
        for row, samples in chosen
        if samples.ids_digest == first.ids_digest and samples.statistics[name].shape == shape
    ]
    wide = [samples.statistics[name] for _, samples in chosen]
    rows, groups = clean(np.concatenate(wide, axis=1), first.cluster_names() or None)
    return [row for row, _ in chosen], np.split(rows, len(wide), axis=1), groups


def metric_of(ranked: Sequence[Record], kept: Sequence[int]) -> Metric | None:
    """What reduces the headline's statistics: a plain mean where that is what they hold, else the task's own metric.

    None for a result from elsewhere, whose task is not registered here.
    """
    result = ranked[0].result
    if all(_is_mean(ranked[row]) for row in kept):
        return _Mean()
    try:
        task = registry.create("task", result.task)
        metrics = pairing.metrics_of(task, result.task)
    except HarnessError:
        # of another version, or a plug-in that is not installed: its rows cannot be compared here
        return None
    return next((item for item in metrics if item.name == result.headline), None)


def _is_mean(record: Record) -> bool:
    result = record.result
    assert result.samples is not None
    rows_NS = result.samples.statistics[result.headline]
    if rows_NS.shape[1:] != (1,):
        return False
    counted = rows_NS[~np.isnan(rows_NS)]
    return bool(len(counted)) and isclose(float(counted.mean()), headline(record), rel_tol=1e-9, abs_tol=1e-12)


def _names(record: Record) -> tuple[str, str, str]:
    return (record.result.model, record.result.decoder or "", record.result.digest)
