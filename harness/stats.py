"""How sure is a number? Bootstrap and Wilson intervals over stored per-example statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isclose, isfinite, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import UsageError
from harness.api.metrics import Array, MeanMetric, Metric, TotalsMetric

# N examples, S statistics of one example, G clusters, R resamples, M metrics or runs resampled together
Indices = NDArray[np.int64]
Interval = tuple[float, float]
Method = Literal["percentile", "bca"]

Z95 = 1.959963984540054  # standard normal quantile at 0.975
RARE = 10  # fewer right (or wrong) answers than this: the bootstrap of a proportion is too narrow, Wilson is not
BLOCK = 4_000_000  # random row indices held at a time (32 MB)


def interval(
    metric: Metric,
    statistics: Array,
    clusters: Sequence[str] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
    method: Method = "percentile",
) -> Interval:
    """95% interval of a metric's value from its statistics [N, S]; no model runs again.

    A bootstrap over examples, or over whole clusters where examples share one (an empty name is a cluster of its
    own). Rows of NaN do not count. Where the bootstrap cannot be trusted, these rules hold instead:

    - no example: (NaN, NaN);
    - independent right-or-wrong examples, fewer than `RARE` of them right or wrong: the Wilson interval;
    - every cluster of right-or-wrong examples all right, or all wrong: the Wilson interval with N = clusters;
    - a value at an end of the metric's scale in every resample: the Wilson bound on the share of examples that may
      lie elsewhere, times the width of the scale (taken as 1 where the scale has no worst end);
    - one example or one cluster otherwise: the whole scale, or (NaN, NaN) for a metric that has none;
    - resamples without a value (a correlation of equal numbers) are left out; (NaN, NaN) when they are the majority.

    Errors: UsageError when the number of clusters differs from N, or draws < 2.
    """
    rows_NS, groups_N = clean(statistics, clusters)
    if draws < 2:
        raise UsageError(f"an interval needs at least 2 draws, not {draws}.")
    if not len(rows_NS):
        return (float("nan"), float("nan"))
    proportion = _proportion(metric, rows_NS, groups_N)
    if proportion is not None:
        return proportion
    units = len(rows_NS) if groups_N is None else int(groups_N.max()) + 1
    if units == 1:
        return _whole_scale(metric)
    values_R = resample(metric, [rows_NS], groups_N, seed=seed, draws=draws)[0]
    values_R = values_R[np.isfinite(values_R)]
    if len(values_R) < draws / 2:
        return (float("nan"), float("nan"))
    if np.ptp(values_R) == 0.0:
        return _degenerate(metric, float(values_R[0]), units)
    return _quantiles(metric, rows_NS, groups_N, values_R, method)


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


def _proportion(metric: Metric, rows_NS: Array, groups_N: Indices | None) -> Interval | None:
    """Wilson's interval where the value is a share of right answers that the bootstrap would get wrong."""
    if not isinstance(metric, MeanMetric) or metric.scale is None or not all(map(isfinite, metric.scale)):
        return None
    low, high = sorted(metric.scale)
    right = int((rows_NS[:, 0] == high).sum())
    wrong = int((rows_NS[:, 0] == low).sum())
    if right + wrong != len(rows_NS):
        return None
    if groups_N is None and min(right, wrong) < RARE:
        ends = wilson(right, right + wrong)
    elif groups_N is not None and min(right, wrong) == 0:
        units = int(groups_N.max()) + 1
        ends = wilson(units if right else 0, units)
    else:
        return None
    return (low + ends[0] * (high - low), low + ends[1] * (high - low))


def _whole_scale(metric: Metric) -> Interval:
    if metric.scale is None or not all(map(isfinite, metric.scale)):
        return (float("nan"), float("nan"))
    low, high = sorted(metric.scale)
    return (low, high)


def _degenerate(metric: Metric, value: float, units: int) -> Interval:
    """Every resample gave the same value: widen it inwards when it lies at an end of the scale."""
    low, high = sorted(metric.scale or (float("nan"), float("nan")))
    width = (high - low if isfinite(high - low) else 1.0) * wilson(0, units)[1]
    if isclose(value, low, abs_tol=1e-12):
        return (value, value + width)
    return (value - width, value) if isclose(value, high, abs_tol=1e-12) else (value, value)


def _quantiles(
    metric: Metric, rows_NS: Array, groups_N: Indices | None, values_R: Array, method: Method
) -> tuple[float, float]:
    levels = np.array([0.025, 0.975])
    if method == "bca":
        levels = _bca_levels(metric, rows_NS, groups_N, values_R)
    low, high = np.quantile(values_R, levels)
    return float(low), float(high)


def _bca_levels(metric: Metric, rows_NS: Array, groups_N: Indices | None, values_R: Array) -> Array:
    """Quantile levels corrected for bias and skewness (acceleration from the jackknife).

    Paper: Efron 1987, Better Bootstrap Confidence Intervals, J. Am. Stat. Assoc. 82.
    """
    from scipy.special import ndtr, ndtri

    observed = metric.reduce(rows_NS)
    below = (values_R < observed).mean() / 2 + (values_R <= observed).mean() / 2
    bias = ndtri(np.clip(below, 1 / len(values_R), 1 - 1 / len(values_R)))
    left_out = groups_N if groups_N is not None else np.arange(len(rows_NS))
    jackknife = np.array([metric.reduce(rows_NS[left_out != unit]) for unit in range(int(left_out.max()) + 1)])
    spread = jackknife.mean() - jackknife
    squares = float((spread**2).sum())
    acceleration = float((spread**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
    shifted = bias + np.array([-Z95, Z95])
    return np.asarray(ndtr(bias + shifted / (1 - acceleration * shifted)))
