"""Intervals from stored statistics, against scipy and closed forms; degenerate cases first."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.api.errors import UsageError
from harness.api.metrics import MeanMetric, Metric, TotalsMetric
from harness.stats import clean, interval, resample, wilson


class Share(MeanMetric):
    scale = (0.0, 1.0)
    name = "share"

    def value(self, example, responses):
        return 1.0


class Mean(MeanMetric):
    name = "mean"

    def value(self, example, responses):
        return 1.0


class Ratio(TotalsMetric):
    name = "ratio"
    scale = (math.inf, 0.0)
    higher_is_better = False

    def measure(self, example, responses):
        return np.zeros(2)

    def from_totals(self, totals, count):
        return totals[..., 0] / totals[..., 1]


class Median(Metric):
    name = "median"

    def measure(self, example, responses):
        return np.zeros(1)

    def reduce(self, statistics):
        return float(np.median(statistics))


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def test_no_example_has_no_interval():
    assert all(math.isnan(end) for end in interval(Mean(), np.zeros((0, 1))))


def test_rows_of_nan_only_count_as_no_example():
    assert all(math.isnan(end) for end in interval(Mean(), column(math.nan, math.nan)))


def test_one_example_of_a_metric_without_scale_has_no_interval():
    assert all(math.isnan(end) for end in interval(Mean(), column(3.0)))


def test_one_right_answer_gives_the_wilson_interval_of_one():
    assert interval(Share(), column(1.0)) == pytest.approx((0.2065, 1.0), abs=1e-4)


def test_one_partial_score_gives_the_whole_scale():
    assert interval(Share(), column(0.4)) == (0.0, 1.0)


@pytest.mark.parametrize(("value", "expected"), [(1.0, (0.9630, 1.0)), (0.0, (0.0, 0.0370))])
def test_all_right_or_all_wrong_is_never_of_zero_width(value, expected):
    assert interval(Share(), np.full((100, 1), value)) == pytest.approx(expected, abs=1e-4)


def test_all_right_in_five_clusters_is_as_sure_as_five_examples():
    clusters = [f"c{row % 5}" for row in range(100)]
    assert interval(Share(), np.ones((100, 1)), clusters) == pytest.approx(wilson(5, 5))


def test_an_error_rate_of_zero_everywhere_is_widened_inwards():
    low, high = interval(Ratio(), np.tile([0.0, 12.0], (40, 1)))
    assert low == 0.0
    assert high == pytest.approx(wilson(0, 40)[1])


def test_equal_values_inside_the_scale_have_zero_width():
    assert interval(Mean(), np.full((10, 1), 2.5)) == (2.5, 2.5)


def test_nan_rows_change_nothing():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(50, 1))
    with_holes = np.insert(values, [3, 20], np.nan, axis=0)
    assert interval(Mean(), with_holes, seed=4) == interval(Mean(), values, seed=4)


def test_clusters_of_another_length_are_refused():
    with pytest.raises(UsageError, match="3 examples but 2 clusters"):
        interval(Mean(), column(1.0, 2.0, 3.0), ["a", "b"])


def test_same_seed_same_interval_other_seed_another():
    values = np.random.default_rng(2).normal(size=(60, 1))
    assert interval(Mean(), values, seed=7) == interval(Mean(), values, seed=7)
    assert interval(Mean(), values, seed=7) != interval(Mean(), values, seed=8)


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (1, 10), (5, 10), (10, 10), (97, 100)])
def test_wilson_equals_scipy(successes, count):
    expected = scipy_stats.binomtest(successes, count).proportion_ci(method="wilson")
    assert wilson(successes, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("method", "theirs"), [("percentile", "percentile"), ("bca", "BCa")])
def test_bootstrap_agrees_with_scipy_within_the_noise_of_drawing(method, theirs):
    values = np.random.default_rng(3).exponential(size=200)
    expected = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method=theirs, rng=np.random.default_rng(0)
    ).confidence_interval
    found = interval(Mean(), values[:, None], draws=20_000, method=method)
    assert found == pytest.approx((expected.low, expected.high), abs=0.006)


def test_bootstrap_of_a_metric_that_is_no_sum_agrees_with_scipy():
    values = np.random.default_rng(3).exponential(size=101)
    expected = scipy_stats.bootstrap(
        (values,), np.median, n_resamples=3000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert interval(Median(), values[:, None], draws=3000) == pytest.approx((expected.low, expected.high), abs=0.05)


def test_standard_error_of_a_mean_equals_the_closed_form():
    values = np.random.default_rng(5).normal(size=(400, 1))
    spread = resample(Mean(), [values], draws=20_000)[0].std()
    assert spread == pytest.approx(values.std() / 20, rel=0.02)


def test_cluster_bootstrap_of_copies_is_the_bootstrap_of_the_originals():
    values = np.random.default_rng(6).normal(size=(80, 1))
    copies = np.repeat(values, 5, axis=0)
    clusters = [str(row // 5) for row in range(400)]
    assert interval(Mean(), copies, clusters, seed=3) == pytest.approx(interval(Mean(), values, seed=3))
    low, high = interval(Mean(), copies, seed=3)
    clustered = interval(Mean(), copies, clusters, seed=3)
    assert (clustered[1] - clustered[0]) / (high - low) == pytest.approx(math.sqrt(5), rel=0.15)


def test_cluster_bootstrap_is_the_same_by_totals_and_by_rows():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(60, 1))
    clusters = [str(group) for group in rng.integers(0, 9, size=60)]

    class SlowMean(Metric):
        name = "mean"

        def measure(self, example, responses):
            return np.zeros(1)

        def reduce(self, statistics):
            return float(statistics.mean())

    fast = interval(Mean(), values, clusters, seed=1, draws=200)
    assert interval(SlowMean(), values, clusters, seed=1, draws=200) == pytest.approx(fast, abs=1e-12)


def test_examples_without_a_cluster_are_their_own():
    _, groups = clean(np.zeros((5, 1)), ["a", "", "a", "", "b"])
    assert groups is not None
    assert groups.tolist() == [0, 1, 0, 2, 3]


def test_interval_of_a_mean_covers_the_truth_19_times_in_20():
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(300):
        low, high = interval(Mean(), rng.normal(size=(80, 1)), draws=300)
        covered += low <= 0.0 <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_resamples_without_a_value_are_left_out():
    class Fragile(Metric):
        name = "fragile"

        def measure(self, example, responses):
            return np.zeros(1)

        def reduce(self, statistics):
            return float(statistics.mean()) if np.ptp(statistics) else math.nan

    low, high = interval(Fragile(), column(1.0, 2.0, 3.0), draws=500)
    assert 1.0 < low < high < 3.0
