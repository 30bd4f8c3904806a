"""How far may the differences of all pairs of runs lie from the truth? Variances, degrees of freedom, p-values."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np

from harness.api.metrics import Array, Metric, TotalsMetric
from harness.jackknife import freedom, influences, variance
from harness.stats import Indices, resample, sums, units_of

# M runs, N examples, U units (examples or clusters), R resamples, P pairs of runs (first with second, with third, ...)
EQUAL = 1e-12  # of the larger run's: a smaller variance of a difference is what rounding leaves


def spreads(
    metric: Metric, runs: Sequence[Array], groups_N: Indices | None = None, *, seed: int = 0, draws: int = 1000
) -> tuple[Array, Array]:
    """Variance [P] of each difference of two runs on the same examples, and its degrees of freedom [P].

    Of sums: the jackknife of the difference, with the freedom that its kurtosis leaves. Of anything else: that of the
    bootstrap, times U / (U - 1), with U - 1. Two units at least; a variance of 0: no unit moved the difference.
    """
    units = units_of(runs[0], groups_N)
    if isinstance(metric, TotalsMetric) and sums(metric):
        psi_MU = np.stack([influences(metric, run, groups_N) for run in runs])
        if np.isfinite(psi_MU).all():
            return _jackknifed(psi_MU)
    values_MR = resample(metric, runs, groups_N, seed=seed, draws=draws)
    variance_P = [
        _bootstrapped(values_MR[left], values_MR[right])
        for left, right in zip(*np.triu_indices(len(runs), 1), strict=True)
    ]
    return np.array(variance_P) * (units / (units - 1)), np.full(len(variance_P), units - 1.0)


def student_p(
    distance_P: Array, spread: tuple[Array, Array], units: int, over_seeds: tuple[Array, int] | None = None
) -> list[float]:
    """Two-sided p-values of distances with these variances and degrees of freedom, under Student's law.

    A distance without variance is the same in each of the U units: p = 2^(1 - U), or 1 where it is 0. `over_seeds`
    holds the variances of the differences over S seeds, over S, and S: they are added, with Welch and Satterthwaite's
    degrees of freedom.
    """
    from scipy.special import stdtr  # a tenth of the time that importing scipy.stats takes

    variance_P, freedom_P = spread
    total_P = variance_P
    if over_seeds is not None:
        seeds_P, count = over_seeds
        total_P = variance_P + seeds_P
        parts_P = variance_P**2 / freedom_P + seeds_P**2 / (count - 1)
        freedom_P = np.divide(total_P**2, parts_P, out=freedom_P.copy(), where=(parts_P > 0) & np.isfinite(parts_P))
    error_P = np.sqrt(total_P)
    constant_P = np.where(distance_P > 0, 2.0 ** (1 - units), 1.0)
    ratio_P = np.divide(distance_P, error_P, out=np.zeros_like(distance_P), where=error_P > 0)
    return [float(p) for p in np.where(error_P > 0, 2 * stdtr(freedom_P, -ratio_P), constant_P)]


def _jackknifed(psi_MU: Array) -> tuple[Array, Array]:
    runs, units = psi_MU.shape
    squares_M = (psi_MU**2).mean(axis=1)
    found: list[tuple[Array, Array]] = []
    for left in range(runs - 1):
        apart_PU = psi_MU[left + 1 :] - psi_MU[left]
        square_PU = apart_PU**2
        second_P = square_PU.mean(axis=1)
        moved_P = second_P > EQUAL * np.maximum(squares_M[left], squares_M[left + 1 :])
        freedom_P = freedom(second_P, (square_PU**2).mean(axis=1), units)
        found.append((np.where(moved_P, variance(apart_PU), 0.0), freedom_P))
    if not found:
        return np.zeros(0), np.zeros(0)
    return np.concatenate([part for part, _ in found]), np.concatenate([part for _, part in found])


def _bootstrapped(left_R: Array, right_R: Array) -> float:
    difference_R = right_R - left_R
    known_R = difference_R[np.isfinite(difference_R)]
    if len(known_R) < 2:
        return inf
    largest = max(float(np.var(values_R[np.isfinite(values_R)])) for values_R in (left_R, right_R))
    found = float(np.var(known_R))
    return found if found > EQUAL * largest else 0.0
