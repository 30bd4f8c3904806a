"""How sure is a number? 95% intervals from stored per-example statistics, and the resampling of those statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isclose, isfinite, nan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import UsageError
from harness.api.metrics import Array, MeanMetric, Metric, TotalsMetric
from harness.jackknife import freedom, influences, variance
from harness.student import Z95, normal, student

# N examples, S statistics of one example, G clusters, U units (examples or clusters), R resamples, M runs
Indices = NDArray[np.int64]
Interval = tuple[float, float]
Method = Literal["Wilson", "score t", "jackknife t", "percentile t", "whole scale", "none"]

BLOCK = 4_000_000  # random row indices held at a time (32 MB)


@dataclass(frozen=True, slots=True)
class Bounds:
    """A 95% interval and the method that gave it; NaN, NaN and "none" where there is no interval."""

    low: float
    high: float
    method: Method


NOTHING = Bounds(nan, nan, "none")


def interval(
    metric: Metric, statistics: Array, clusters: Sequence[str] | None = None, *, seed: int = 0, draws: int = 1000
) -> Interval:
    """The ends of `bounds`."""
    found = bounds(metric, statistics, clusters, seed=seed, draws=draws)
    return (found.low, found.high)


def bounds(
    metric: Metric, statistics: Array, clusters: Sequence[str] | None = None, *, seed: int = 0, draws: int = 1000
) -> Bounds:
    """95% interval of a metric's value v from its statistics [N, S], with its method's name; no model runs again.

    A unit is an example, or a whole cluster where examples share one (an empty name is a cluster of its own). Rows of
    NaN do not count. s² is the jackknife's variance of v over U units and t Student's quantile at its degrees of
    freedom (`harness.jackknife`: U - 1, fewer where few units carry the variance).

    - Wilson: independent right-or-wrong examples. Also where no unit moves the value, with the number of units in place
      of N (N² over the sum of squared cluster sizes); on a scale with one end, of width 1 from there.
    - score t: a function of summed statistics on a scale with one end or two. The w with (v - w)² <= t² s² q(w) / q(v),
      where q(w) = (w - low)(high - w), or the distance from the one end: the spread shrinks towards an end, as that of
      proportions and counts does, so that the interval is as skewed as they are and never leaves the scale.
      With two ends this is Wilson's interval at an effective sample size. A mean of scores within the scale is never
      less sure than as many right-or-wrong answers, a cluster being one (none vary more: Bhatia and Davis 2000).
    - jackknife t: such a function without a scale: v ± t s.
    - percentile t: anything else (rank correlations, medians, means over cells): the bootstrap's quantiles at
      Phi(-+ sqrt(U / (U - 1)) t), t at U - 1: the percentile interval, as wide as Student's. `seed` and `draws`
      matter here alone. Resamples without a value are left out; none when they are the majority.

    None without an example, or for one unit of a metric without two ends; one unit of one that is no mean gives the
    whole scale. `python benchmarks/intervals.py` prints how often each covers the truth.

    Papers: Wilson 1927; Kott and Carr 1997, Developing an Estimation Strategy for a Pesticide Data Program, and Franco,
    Little, Louis and Slud 2019, J. Survey Stat. Method. 7 (Wilson with an effective sample size); Satterthwaite 1946;
    Hesterberg 2015, What Teachers Should Know About the Bootstrap (expanded percentile).

    Differs from the paper: degrees of freedom from the kurtosis; the same form for scales other than proportions.

    Errors: UsageError when the number of clusters differs from N, or draws < 2.
    """
    rows_NS, groups_N = clean(statistics, clusters)
    if draws < 2:
        raise UsageError(f"an interval needs at least 2 draws, not {draws}.")
    if not len(rows_NS):
        return NOTHING
    value = metric.reduce(rows_NS)
    if not isfinite(value):
        return NOTHING
    if groups_N is None and right_or_wrong(metric, rows_NS):
        return _wilson_bounds(metric, value, len(rows_NS))
    if isinstance(metric, TotalsMetric) and sums(metric):
        return _from_sums(metric, value, rows_NS, groups_N)
    values_R = resample(metric, [rows_NS], groups_N, seed=seed, draws=draws)[0]
    return _from_resamples(metric, value, values_R, units_of(rows_NS, groups_N))


def wilson(successes: float, count: float, z: float = Z95) -> Interval:
    """Wilson's score interval for a proportion; never of zero width, never outside [0, 1].

    (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). Paper: Wilson 1927, J. Am. Stat. Assoc. 22.

    Differs from the paper: none.
    """
    if count <= 0:
        return (float("nan"), float("nan"))
    share = successes / count
    centre = share + z * z / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    shrink = 1 + z * z / count
    low = 0.0 if successes <= 0 else (centre - half) / shrink
    high = 1.0 if successes >= count else (centre + half) / shrink
    return (max(0.0, low), min(1.0, high))


def clean(statistics: Array, clusters: Sequence[str] | None = None) -> tuple[Array, Indices | None]:
    """Statistics [N, S] without rows that hold NaN, and each row's cluster number (None: every row is its own)."""
    rows_NS = np.asarray(statistics, dtype=np.float64)
    if rows_NS.ndim == 1:
        rows_NS = rows_NS[:, None]
    if clusters is not None and len(clusters) != len(rows_NS):
        raise UsageError(f"{len(rows_NS)} examples but {len(clusters)} clusters; they must match.")
    kept_N = ~np.asarray(np.isnan(rows_NS).any(axis=1))
    if clusters is None or not any(clusters):
        return rows_NS[kept_N], None
    numbers: dict[tuple[str, int], int] = {}
    groups = [
        numbers.setdefault((name, -1 if name else row), len(numbers))
        for row, (name, keep) in enumerate(zip(clusters, kept_N.tolist(), strict=True))
        if keep
    ]
    if len(numbers) == len(groups):
        return rows_NS[kept_N], None
    return rows_NS[kept_N], np.array(groups, dtype=np.int64)


def resample(
    metric: Metric, runs: Sequence[Array], groups_N: Indices | None = None, *, seed: int = 0, draws: int = 1000
) -> Array:
    """Bootstrap values [M, R] of M runs on the same examples, all resampled alike (so that their differences pair)."""
    size = len(runs[0])
    if any(len(run) != size for run in runs):
        raise UsageError(f"runs have {sorted({len(run) for run in runs})} examples; they must be the same examples.")
    rng = np.random.default_rng(seed)
    if isinstance(metric, TotalsMetric) and type(metric).resample is TotalsMetric.resample:
        return _resample_totals(metric, runs, groups_N, rng, draws)
    values_MR = np.empty((len(runs), draws))
    if groups_N is None:
        for start, part_RN in _blocks(rng, size, draws):
            for row, run in enumerate(runs):
                values_MR[row, start : start + len(part_RN)] = metric.resample(run, part_RN)
        return values_MR
    members = [np.flatnonzero(groups_N == group) for group in range(int(groups_N.max()) + 1)]
    widest = len(members) * max(map(len, members))
    for start, part_RG in _blocks(rng, len(members), draws, widest):
        for chosen, rows_RN in _unpacked(members, part_RG):
            for row, run in enumerate(runs):
                values_MR[row, start + chosen] = metric.resample(run, rows_RN)
    return values_MR


def _unpacked(members: Sequence[Indices], part_RG: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Rows of the examples of drawn clusters; draws that hold equally many examples come together."""
    sizes_G = np.array([len(rows) for rows in members])
    padded_GK = np.full((len(members), int(sizes_G.max())), -1)
    for group, rows in enumerate(members):
        padded_GK[group, : len(rows)] = rows
    flat_RK = padded_GK[part_RG].reshape(len(part_RG), -1)
    totals_R = sizes_G[part_RG].sum(axis=1)
    for total in np.unique(totals_R):
        chosen = np.flatnonzero(totals_R == total)
        some_CK = flat_RK[chosen]
        yield chosen, some_CK[some_CK >= 0].reshape(len(chosen), int(total))


def _resample_totals(
    metric: TotalsMetric, runs: Sequence[Array], groups_N: Indices | None, rng: np.random.Generator, draws: int
) -> Array:
    """Count how often each unit is drawn, once for all runs; totals are then one matrix product."""
    width = runs[0].shape[1]
    size = len(runs[0])
    # one column of ones carries the number of examples of each cluster
    wide = np.concatenate([*runs, np.ones((size, 1))], axis=1)
    if groups_N is not None:
        summed = np.zeros((int(groups_N.max()) + 1, wide.shape[1]))
        np.add.at(summed, groups_N, wide)
        wide = summed
    units = len(wide)
    totals = np.empty((draws, wide.shape[1]))
    for start, part in _blocks(rng, units, draws):
        offsets = part + np.arange(len(part))[:, None] * units
        counts = np.bincount(offsets.ravel(), minlength=part.shape[0] * units).reshape(len(part), units)
        totals[start : start + len(part)] = counts.astype(np.float64) @ wide
    count_R = totals[:, -1]
    return np.stack(
        [metric.from_totals(totals[:, row * width : (row + 1) * width], count_R) for row in range(len(runs))]
    )


def _blocks(rng: np.random.Generator, size: int, draws: int, held: int = 0) -> Iterator[tuple[int, Indices]]:
    """Unit indices [R, size] in blocks of bounded memory (`held` indices a draw, if more than `size`).

    The numbers do not depend on the block size.
    """
    block = max(1, BLOCK // max(1, size, held))
    for start in range(0, draws, block):
        yield start, rng.integers(0, size, size=(min(block, draws - start), size), dtype=np.int64)


def units_of(rows_NS: Array, groups_N: Indices | None) -> int:
    """How many examples, or clusters of them, are independent of each other."""
    return len(rows_NS) if groups_N is None else int(groups_N.max()) + 1


def right_or_wrong(metric: Metric, rows_NS: Array) -> bool:
    """Whether every example lies at one end or the other of a mean's finite scale."""
    return isinstance(metric, MeanMetric) and _both_ends(metric) and bool(np.isin(rows_NS[:, 0], _scale(metric)).all())


def sums(metric: Metric) -> bool:
    """Whether the value is a function of summed statistics, resampled as such."""
    return isinstance(metric, TotalsMetric) and type(metric).resample is TotalsMetric.resample


def _from_sums(metric: TotalsMetric, value: float, rows_NS: Array, groups_N: Indices | None) -> Bounds:
    sizes_U = np.ones(len(rows_NS)) if groups_N is None else np.bincount(groups_N).astype(np.float64)
    # as many clusters of equal size would be as uneven
    count = float(sizes_U.sum() ** 2 / (sizes_U**2).sum())
    within = _mean_within_scale(metric, rows_NS)
    if len(sizes_U) == 1:
        return _wilson_bounds(metric, value, 1) if within else _whole_scale(metric)
    psi_U = influences(metric, rows_NS, groups_N)
    psi_U = psi_U[~np.isnan(psi_U)]
    if len(psi_U) < max(2, len(sizes_U) / 2):
        return NOTHING
    if not psi_U.any():
        return _wilson_bounds(metric, value, count)
    squares_U = psi_U**2
    degrees = float(freedom(squares_U.mean(), (squares_U**2).mean(), len(psi_U)))
    return _score(metric, value, student(degrees) ** 2 * float(variance(psi_U)), count if within else 0.0)


def _score(metric: Metric, value: float, square: float, least: float) -> Bounds:
    """The ends whose squared distance from the value is t² s² = `square`, in the scale's own measure.

    `least` is an effective number of examples that there are at least.
    """
    low, high = _scale(metric)
    width = high - low
    if isfinite(width) and low < value < high:
        share = (value - low) / width
        count = max(least, share * (1 - share) * (Z95 * width) ** 2 / square)
        ends = wilson(share * count, count)
        return Bounds(low + width * ends[0], low + width * ends[1], "score t")
    end = low if isfinite(low) else high
    if isfinite(end) and not isfinite(width) and low < value < high:
        distance = abs(value - end)
        centre = distance + square / (2 * distance)
        far = centre + sqrt(square + (square / (2 * distance)) ** 2)
        # the product of the two is distance², so that nothing is lost where the near one is small
        near = distance**2 / far
        return Bounds(low + near, low + far, "score t") if end == low else Bounds(high - far, high - near, "score t")
    half = sqrt(square)
    return Bounds(max(low, value - half), min(high, value + half), "jackknife t")


def _wilson_bounds(metric: Metric, value: float, count: float) -> Bounds:
    """Wilson's interval of the value's place in its scale, as a share of `count`."""
    low, high = _scale(metric)
    if isfinite(high - low):
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        ends = wilson(share * count, count)
        return Bounds(low + ends[0] * (high - low), low + ends[1] * (high - low), "Wilson")
    if isclose(value, low, abs_tol=1e-12):
        return Bounds(value, value + wilson(0, count)[1], "Wilson")
    if isclose(value, high, abs_tol=1e-12):
        return Bounds(value - wilson(0, count)[1], value, "Wilson")
    return Bounds(value, value, "jackknife t")


def _from_resamples(metric: Metric, value: float, values_R: Array, units: int) -> Bounds:
    if units == 1:
        return _whole_scale(metric)
    known_R = values_R[np.isfinite(values_R)]
    if len(known_R) < len(values_R) / 2:
        return NOTHING
    if np.ptp(known_R) == 0.0:
        return _wilson_bounds(metric, value, units)
    low, high = expanded_quantiles(known_R, units)
    return Bounds(low, high, "percentile t")


def expanded_quantiles(values_R: Array, units: int) -> Interval:
    """The quantiles of bootstrap values at Phi(-+ sqrt(U / (U - 1)) t): their normal spread made Student's."""
    level = normal(-sqrt(units / (units - 1)) * student(units - 1))
    low, high = np.quantile(values_R, [level, 1 - level])
    return float(low), float(high)


def _whole_scale(metric: Metric) -> Bounds:
    return Bounds(*_scale(metric), method="whole scale") if _both_ends(metric) else NOTHING


def _mean_within_scale(metric: Metric, rows_NS: Array) -> bool:
    low, high = _scale(metric)
    return (
        isinstance(metric, MeanMetric)
        and _both_ends(metric)
        and bool(low <= rows_NS[:, 0].min() and rows_NS[:, 0].max() <= high)
    )


def _both_ends(metric: Metric) -> bool:
    return metric.scale is not None and all(map(isfinite, metric.scale))


def _scale(metric: Metric) -> Interval:
    """The ends in order, infinite where there is none."""
    low, high = sorted(metric.scale or (-inf, inf))
    return low, high
