"""How far does a value move when one example, or one cluster, is left out? Variances and their degrees of freedom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.api.metrics import Array, TotalsMetric

# N examples, S statistics of one example, U units that are left out as one (examples or clusters)
Indices = NDArray[np.int64]

ROUNDING = 1e-13  # of the value: leave-one-out values nearer than this to each other are equal


def influences(metric: TotalsMetric, rows_NS: Array, groups_N: Indices | None = None) -> Array:
    """What each unit adds to the value [U], from leaving it out: psi_u = (U - 1) (mean(theta_-u) - theta_-u).

    Their sum of squares over U (U - 1) is the jackknife's variance of the value. Zeros where no unit moves the value;
    NaN for a unit without which there is no value. Needs two units.

    Paper: Quenouille 1956, Notes on Bias in Estimation; Tukey 1958. Differs from the paper: none.
    """
    units_US, count_U = rows_NS, np.ones(len(rows_NS))
    if groups_N is not None:
        count_U = np.bincount(groups_N).astype(np.float64)
        units_US = np.zeros((len(count_U), rows_NS.shape[1]))
        np.add.at(units_US, groups_N, rows_NS)
    with np.errstate(divide="ignore", invalid="ignore"):
        values_U = np.asarray(metric.from_totals(units_US.sum(axis=0) - units_US, count_U.sum() - count_U))
    values_U = np.where(np.isfinite(values_U), values_U, np.nan)
    known_U = values_U[~np.isnan(values_U)]
    if not len(known_U):
        return values_U
    centre = known_U.mean()
    if np.ptp(known_U) <= ROUNDING * abs(centre):
        return np.where(np.isnan(values_U), np.nan, 0.0)
    return np.asarray((len(values_U) - 1) * (centre - values_U))


def variance(influence: Array) -> Array:
    """Variance [...] of the value from influences [..., U]."""
    units = influence.shape[-1]
    return np.asarray((influence**2).sum(axis=-1) / (units * (units - 1)))


def freedom(second: Array, fourth: Array, units: int) -> Array:
    """Degrees of freedom [...] of that variance, from the mean squares and mean fourth powers [...] of influences.

    A variance s² from U independent influences of kurtosis k varies by about s⁴ (k - 1) / U, and one with f degrees of
    freedom by 2 s⁴ / f (Satterthwaite 1946), so that f = 2 U / (k - 1), at least 1 and at most U - 1. k is the
    kurtosis corrected for bias (G2 + 3 of Joanes and Gill 1998): a few rare influences that carry all of the variance
    count as a few. Three units or fewer have no such kurtosis: f = U - 1.

    Differs from the paper: the kurtosis is estimated.
    """
    if units < 4:
        return np.full(np.shape(second), float(max(1, units - 1)))
    known = np.asarray(second) > 0
    plain = np.where(known, fourth / np.where(known, np.square(second), 1.0), 3.0)
    kurtosis = (units - 1) / ((units - 2) * (units - 3)) * ((units + 1) * (plain - 3) + 6) + 3
    return np.clip(2 * units / np.maximum(kurtosis - 1, 1e-9), 1.0, units - 1.0)
