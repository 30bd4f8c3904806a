"""Do two runs on the same examples differ? Paired tests over stored per-example statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan, sqrt

import numpy as np

from harness.api.errors import UsageError
from harness.api.metrics import Array, Metric, TotalsMetric
from harness.pairwise import spreads, student_p
from harness.stats import (
    Indices,
    Interval,
    clean,
    expanded_quantiles,
    resample,
    right_or_wrong,
    sums,
    units_of,
)
from harness.student import Z95, student

# N examples, S statistics of one example, U units that are swapped as one (examples or clusters), R resamples
EXACT_UNITS = 13  # up to 2^13 sign patterns are enumerated instead of drawn
BLOCK = 8_000_000  # signs held at a time
LEVEL = 0.05  # of the tests that an interval of 95% agrees with


@dataclass(frozen=True, slots=True)
class Difference:
    """The change from run A to run B on the same examples; positive means that B's value is larger."""

    first: float  # value of run A
    second: float  # value of run B
    interval: Interval  # 95%, of second - first
    p: float  # two-sided, of the test or Student's, whichever is larger; NaN when there is nothing to compare
    test: str  # "mcnemar (mid-p)", "approximate randomisation", "exact randomisation", "none"
    examples: int  # counted in both runs

    @property
    def value(self) -> float:
        """Second less first."""
        return self.second - self.first


def compare(
    metric: Metric,
    first: Array,
    second: Array,
    clusters: Sequence[str] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
) -> Difference:
    """The difference of two runs with its paired interval and the p-value of the fitting test.

    - Independent right-or-wrong examples: McNemar's mid-p, and Tango's interval.
    - Other sums: Student's t on the jackknifed difference gives the interval (degrees of freedom from its kurtosis);
      p is the larger of its p and that of randomisation (exact for few examples), as five examples cannot be as sure
      as t makes them, nor a few rare ones as swapping does.
    - Anything else: randomisation, and the expanded percentile bootstrap.

    The interval leaves out 0 only where p is below 5%. Examples that either run does not count (NaN) are dropped from
    both. No common example: NaN throughout; no difference in any example: p = 1.

    Errors: UsageError when the runs have different numbers of examples.
    """
    first_NS, second_NS, groups_N = _pair(first, second, clusters)
    if not len(first_NS):
        return Difference(nan, nan, (nan, nan), nan, "none", 0)
    values = (metric.reduce(first_NS), metric.reduce(second_NS))
    units = units_of(first_NS, groups_N)
    if groups_N is None and right_or_wrong(metric, first_NS) and right_or_wrong(metric, second_NS):
        width = float(np.ptp(metric.scale or ()))
        ends = tuple(width * end for end in tango(first_NS[:, 0], second_NS[:, 0])) if units > 1 else (nan, nan)
        p, test = mcnemar(first_NS[:, 0], second_NS[:, 0])[1], "mcnemar (mid-p)"
    else:
        p, test = _randomise(metric, first_NS, second_NS, groups_N, seed, draws)
        ends = (nan, nan)
        if units > 1 and sums(metric):
            ends, surest = _by_student(metric, first_NS, second_NS, groups_N)
            p = max(p, surest)
        elif units > 1:
            ends = _by_bootstrap(metric, [first_NS, second_NS], groups_N, units, seed, draws)
    if p >= LEVEL:
        ends = (min(ends[0], 0.0), max(ends[1], 0.0))
    return Difference(*values, (ends[0], ends[1]), p, test, len(first_NS))


def paired_bootstrap(
    metric: Metric,
    first: Array,
    second: Array,
    clusters: Sequence[str] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
) -> tuple[Interval, float]:
    """95% interval of second - first, and the two-sided p-value of the shifted bootstrap.

    p = (1 + #{|d_r - mean(d)| >= |d|}) / (R + 1), the resampled differences d_r being centred on the null hypothesis.
    Paper: Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation.

    Differs from the paper: two-sided (sacrebleu's looks at one side, for about half the p), centred, and with the +1
    of a permutation test.
    """
    first_NS, second_NS, groups_N = _pair(first, second, clusters)
    if not len(first_NS):
        return (float("nan"), float("nan")), float("nan")
    low_R, high_R = resample(metric, [first_NS, second_NS], groups_N, seed=seed, draws=draws)
    difference_R = high_R - low_R
    observed = abs(metric.reduce(second_NS) - metric.reduce(first_NS))
    extreme = int((np.abs(difference_R - difference_R.mean()) >= observed * (1 - 1e-12)).sum())
    low, high = np.quantile(difference_R, [0.025, 0.975])
    return (float(low), float(high)), (extreme + 1) / (draws + 1)


def randomisation(
    metric: Metric,
    first: Array,
    second: Array,
    clusters: Sequence[str] | None = None,
    *,
    seed: int = 0,
    draws: int = 1000,
) -> float:
    """Two-sided p-value of swapping the two runs' answers, example by example (cluster by cluster).

    All 2^U swaps where U <= EXACT_UNITS, else p = (1 + #{|d_r| >= |d|}) / (R + 1).
    Paper: Riezler and Maxwell 2005, On Some Pitfalls in Automatic Evaluation and Significance Testing for MT.

    Differs from the paper: exact for few examples.
    """
    first_NS, second_NS, groups_N = _pair(first, second, clusters)
    return _randomise(metric, first_NS, second_NS, groups_N, seed, draws)[0] if len(first_NS) else float("nan")


def mcnemar(first: Sequence[float] | Array, second: Sequence[float] | Array) -> tuple[float, float]:
    """Exact and mid-p two-sided p-values for right-or-wrong answers of two runs to the same questions.

    b answers are right in the first run alone and c in the second alone; under the null X ~ Binomial(b + c, 1/2).
    With k = min(b, c): exact = min(1, 2 P(X <= k)); mid-p = exact - P(X = k), or 1 - P(X = k) / 2 where b = c.
    Both are 1 when no answer differs.
    Papers: McNemar 1947; Fagerland, Lydersen, Laake 2013 (mid-p).

    Differs from the paper: none.
    """
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    changed = int((left != right).sum())
    if changed == 0:
        return 1.0, 1.0
    from scipy.stats import binom

    fewer = min(int((left > right).sum()), int((left < right).sum()))
    exact = min(1.0, 2 * float(binom.cdf(fewer, changed, 0.5)))
    middle = float(binom.pmf(fewer, changed, 0.5))
    return exact, 1 - middle / 2 if 2 * fewer == changed else exact - middle


def tango(first: Sequence[float] | Array, second: Sequence[float] | Array) -> Interval:
    """95% interval of the difference of two shares of right answers to the same N questions, by inverting a score test.

    b answers are right in the first run alone and c in the second alone. The d with
    (c - b - N d)² <= z² N (2 q + d (1 - d)), q being the likeliest share of b given d. At d = 0 this is McNemar's test
    without correction; where no answer differs, ±z² / (N + z²).
    Papers: Tango 1998, Equivalence Test and Confidence Interval for the Difference in Proportions for the
    Paired-Sample Design; recommended by Fagerland, Lydersen and Laake 2014.

    Differs from the paper: none.
    """
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    lost, gained = float((left > right).sum()), float((left < right).sum())
    value = (gained - lost) / len(left)

    def beyond(change: float) -> bool:
        linear = -gained - lost + (2 * len(left) - gained + lost) * change
        root = sqrt(max(0.0, linear**2 + 8 * len(left) * lost * change * (1 - change)))
        spread = 2 * max(0.0, (root - linear) / (4 * len(left))) + change * (1 - change)
        return (gained - lost - len(left) * change) ** 2 > Z95**2 * len(left) * spread

    return _last_within(beyond, value, -1.0), _last_within(beyond, value, 1.0)


def wilcoxon(first: Sequence[float] | Array, second: Sequence[float] | Array) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test on paired numbers (data sets, folds); 1 when all are equal.

    Zero differences are dropped, as Demsar 2006 does not need them split. Differs from the paper: none.
    """
    difference = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    difference = difference[~np.isnan(difference)]
    if not difference.any():
        return 1.0 if len(difference) else float("nan")
    from scipy.stats import wilcoxon as signed_rank

    return float(signed_rank(difference[difference != 0]).pvalue)


def examples_needed(difference: Difference, margin: float) -> int:
    """How many examples would bring the interval's half-width below the distance to the nearest margin.

    The half-width shrinks with sqrt(N), and the value is taken to stay: N' = N (half-width / distance)², where distance
    is from the value to the nearer of -margin and +margin. Capped at 10^9, for a value that lies on the margin.
    """
    low, high = difference.interval
    half = (high - low) / 2
    if not isfinite(half) or difference.examples == 0:
        return 0
    distance = min(abs(difference.value - margin), abs(difference.value + margin))
    needed = difference.examples * (half / distance) ** 2 if distance > 0 else float("inf")
    return int(np.ceil(min(needed, 1e9)))


def _pair(first: Array, second: Array, clusters: Sequence[str] | None) -> tuple[Array, Array, Indices | None]:
    left, right = (np.asarray(run, dtype=np.float64) for run in (first, second))
    left, right = (run[:, None] if run.ndim == 1 else run for run in (left, right))
    if left.shape != right.shape:
        raise UsageError(f"the runs' statistics are {left.shape} and {right.shape}; compare runs on the same examples.")
    both, groups_N = clean(np.concatenate([left, right], axis=1), clusters)
    return both[:, : left.shape[1]], both[:, left.shape[1] :], groups_N


def _last_within(beyond: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where `beyond` begins to hold on the way, by halving; the far end where it never does."""
    if not beyond(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if beyond(middle) else (middle, outside)
    return inside


def _by_student(metric: Metric, first_NS: Array, second_NS: Array, groups_N: Indices | None) -> tuple[Interval, float]:
    """Interval of a difference of sums, cut at what the scale allows, and its two-sided p-value."""
    spread = spreads(metric, [first_NS, second_NS], groups_N)
    value = metric.reduce(second_NS) - metric.reduce(first_NS)
    half = student(float(spread[1][0])) * sqrt(float(spread[0][0]))
    (p,) = student_p(np.array([abs(value)]), spread, units_of(first_NS, groups_N))
    widest = abs(metric.scale[1] - metric.scale[0]) if metric.scale is not None else inf
    return (max(value - half, -widest), min(value + half, widest)), p


def _by_bootstrap(
    metric: Metric, runs: Sequence[Array], groups_N: Indices | None, units: int, seed: int, draws: int
) -> Interval:
    left_R, right_R = resample(metric, runs, groups_N, seed=seed, draws=draws)
    difference_R = right_R - left_R
    known_R = difference_R[np.isfinite(difference_R)]
    return expanded_quantiles(known_R, units) if 2 * len(known_R) >= draws else (nan, nan)


def _randomise(
    metric: Metric, first_NS: Array, second_NS: Array, groups_N: Indices | None, seed: int, draws: int
) -> tuple[float, str]:
    unit_N = np.arange(len(first_NS)) if groups_N is None else groups_N
    units = int(unit_N.max()) + 1
    exact = units <= EXACT_UNITS
    if exact:
        swap_RU = (np.arange(2**units)[:, None] >> np.arange(units)) & 1 == 1
        differences_R = _swapped(metric, first_NS, second_NS, swap_RU[:, unit_N])
    else:
        rng = np.random.default_rng(seed)
        block = max(1, BLOCK // len(first_NS))
        parts = [
            _swapped(metric, first_NS, second_NS, rng.random((min(block, draws - start), units))[:, unit_N] < 0.5)
            for start in range(0, draws, block)
        ]
        differences_R = np.concatenate(parts)
    observed = abs(metric.reduce(second_NS) - metric.reduce(first_NS))
    # sums in another order differ in their last bits; a tie counts as extreme
    extreme = int((np.abs(differences_R) >= observed * (1 - 1e-9) - 1e-12).sum())
    if exact:
        return extreme / len(differences_R), "exact randomisation"
    return (extreme + 1) / (len(differences_R) + 1), "approximate randomisation"


def _swapped(metric: Metric, first_NS: Array, second_NS: Array, swap_RN: np.ndarray) -> Array:
    """Second less first, [R], after swapping the marked examples."""
    if isinstance(metric, TotalsMetric):
        moved_RS = swap_RN.astype(np.float64) @ (second_NS - first_NS)
        count_R = np.full(len(swap_RN), float(len(first_NS)))
        first_R = metric.from_totals(first_NS.sum(axis=0) + moved_RS, count_R)
        return metric.from_totals(second_NS.sum(axis=0) - moved_RS, count_R) - first_R
    differences = [
        metric.reduce(np.where(swap_N[:, None], first_NS, second_NS))
        - metric.reduce(np.where(swap_N[:, None], second_NS, first_NS))
        for swap_N in swap_RN
    ]
    return np.array(differences)
