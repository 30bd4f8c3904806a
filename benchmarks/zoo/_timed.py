"""How does a cost grow with the length? Rounds over all works in turn, and slopes of logarithms with intervals.

Every round times every work once, so that a slow moment of the machine hits all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.timing import clock

# R rounds, L lengths, D draws

Array = NDArray[np.float64]
Interval = tuple[float, float]
DRAWS = 2_000


def seconds(work: Callable[[], object]) -> float:
    start = clock()
    work()
    return clock() - start


def timed(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Array]:
    """Seconds [R] of every work, after one call of each that is not counted."""
    for work in works.values():
        work()
    taken = [[seconds(work) for work in works.values()] for _ in range(rounds)]
    return dict(zip(works, np.array(taken, dtype=np.float64).reshape(rounds, -1).T, strict=True))


def exponent(lengths: Sequence[int], seconds_RL: Array) -> tuple[float, Interval]:
    """Least-squares slope of log median seconds over log length, and its 95% interval over resampled rounds."""
    seconds_RL = np.asarray(seconds_RL, dtype=np.float64)
    rounds = len(seconds_RL)
    draws_DR = np.random.default_rng(0).integers(rounds, size=(DRAWS, rounds))
    low, high = np.quantile(_slope(lengths, np.median(seconds_RL[draws_DR], axis=1)), [0.025, 0.975])
    return float(_slope(lengths, np.median(seconds_RL, axis=0)[None])[0]), (float(low), float(high))


def ratio(over_R: Array, under_R: Array) -> tuple[float, Interval]:
    """Median over median, and its 95% interval over resampled rounds."""
    draws_DR = np.random.default_rng(0).integers(len(over_R), size=(DRAWS, len(over_R)))
    drawn = np.median(over_R[draws_DR], axis=1) / np.median(under_R[draws_DR], axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.median(over_R) / np.median(under_R)), (float(low), float(high))


def ranged(value: float, interval: Interval, digits: int = 2) -> str:
    return f"{value:.{digits}f} [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def _slope(lengths: Sequence[int], seconds_DL: Array) -> Array:
    log_L = np.log(np.asarray(lengths, dtype=np.float64))
    centred_L = log_L - log_L.mean()
    slopes: Array = np.log(seconds_DL) @ centred_L / (centred_L @ centred_L)
    return slopes
