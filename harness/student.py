"""Which value does Student's t exceed once in forty draws? Without scipy, which takes longer to import than a run."""

from __future__ import annotations

from functools import lru_cache
from math import erfc, exp, inf, lgamma, log, pi, sqrt

Z95 = 1.959963984540054  # standard normal quantile at 0.975
MANY = 1000.0  # degrees of freedom from which five terms of the series are exact to 1e-15


def normal(z: float) -> float:
    """Phi(z), the standard normal law's share below z."""
    return erfc(-z / sqrt(2)) / 2


@lru_cache(maxsize=4096)
def student(degrees: float) -> float:
    """Student's quantile at 0.975 for f > 0 degrees of freedom, whole or not; within 1e-12 of scipy's `stdtrit`.

    From 1000 degrees on a series in 1 / f (Fisher and Cornish 1960; Abramowitz and Stegun 26.7.5). Below, the t at
    which the share above it, I_x(f/2, 1/2) / 2 with x = f / (f + t²), is 0.025, by Newton's steps in log t.
    """
    if degrees >= MANY:
        return _series(degrees)
    logarithm = log(_series(degrees)) if degrees > 2 else log(12.7) / degrees
    for _ in range(100):
        value = exp(logarithm)
        above = _above(value, degrees)
        # the share above falls like a power of t, so that its logarithm is nearly straight in log t
        step = log(above / 0.025) * above / (value * _density(value, degrees))
        logarithm += step
        if abs(step) < 1e-13:
            break
    return exp(logarithm)


def _series(degrees: float) -> float:
    z = Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, start=1))


def _density(value: float, degrees: float) -> float:
    constant = lgamma((degrees + 1) / 2) - lgamma(degrees / 2) - log(degrees * pi) / 2
    return exp(constant - (degrees + 1) / 2 * log(1 + value * value / degrees))


def _above(value: float, degrees: float) -> float:
    """The share of Student's law above a positive value."""
    x = degrees / (degrees + value * value)
    a, b = degrees / 2, 0.5
    # the continued fraction converges fast on one side of the beta law's middle only
    if x < (a + 1) / (a + b + 2):
        return _beta(x, a, b) / 2
    return 0.5 - _beta(value * value / (degrees + value * value), b, a) / 2


def _beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b), by Lentz's form of its continued fraction (DLMF 8.17.22)."""
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    fraction, c, d = 1.0, inf, 1.0
    for step in range(1, 1000):
        half = step // 2
        if step == 1:
            numerator = -(a + b) * x / (a + 1)
        elif step % 2:
            numerator = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            numerator = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        d = 1 / (1 + numerator * d)
        c = 1 + numerator / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction
