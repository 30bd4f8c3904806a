"""Intervals from stored statistics, against scipy and closed forms; degenerate cases first."""

from __future__ import annotations

import math

import numpy as np
import pytest
from plain_metrics import Mean, Median
from scipy import stats as scipy_stats

from harness.api.errors import UsageError
from harness.api.metrics import MeanMetric, Metric, TotalsMetric
from harness.jackknife import freedom, influences, variance
from harness.stats import bounds, clean, expanded_quantiles, interval, resample, wilson


class Share(MeanMetric):
    scale = (0.0, 1.0)
    name = "share"

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


class Corpus(TotalsMetric):
    """A mean by its sums, of which nothing says that it is one."""

    name = "corpus"
    scale = (0.0, 1.0)

    def measure(self, example, responses):
        return np.zeros(1)

    def from_totals(self, totals, count):
        return totals[..., 0] / count


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


def test_one_partial_score_is_as_sure_as_one_answer_of_that_share():
    assert interval(Share(), column(0.4)) == pytest.approx(wilson(0.4, 1))
    assert wilson(0.4, 1) == pytest.approx((0.0358, 0.9229), abs=1e-4)


def test_one_example_of_a_bounded_metric_that_is_no_mean_gives_the_whole_scale():
    found = bounds(Corpus(), column(0.4))
    assert (found.low, found.high, found.method) == (0.0, 1.0, "whole scale")


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


def test_the_seed_matters_to_a_bootstrap_alone():
    values = np.random.default_rng(2).normal(size=(61, 1))
    assert interval(Median(), values, seed=7) == interval(Median(), values, seed=7)
    assert interval(Median(), values, seed=7, draws=50) != interval(Median(), values, seed=8, draws=50)
    assert interval(Mean(), values, seed=7) == interval(Mean(), values, seed=8)


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (1, 10), (5, 10), (10, 10), (97, 100)])
def test_wilson_equals_scipy(successes, count):
    expected = scipy_stats.binomtest(successes, count).proportion_ci(method="wilson")
    assert wilson(successes, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("size", [2, 3, 10, 200])
def test_a_mean_without_scale_has_students_interval_where_no_example_is_rare(size):
    values = np.random.default_rng(3).uniform(size=size)
    expected = scipy_stats.t.interval(0.95, size - 1, values.mean(), scipy_stats.sem(values))
    found = bounds(Mean(), values[:, None])
    assert found.method == "jackknife t"
    assert (found.low, found.high) == pytest.approx(expected, rel=0.005)


def test_the_jackknifes_variance_of_a_ratio_equals_scipys_of_its_pseudo_values():
    rng = np.random.default_rng(12)
    rows = rng.uniform(1.0, 2.0, size=(15, 2))
    left_out = [np.delete(rows, unit, axis=0).sum(axis=0) for unit in range(15)]
    ratios = np.array([errors / length for errors, length in left_out])
    expected = 14 / 15 * ((ratios - ratios.mean()) ** 2).sum()
    assert float(variance(influences(Ratio(), rows))) == pytest.approx(expected, rel=1e-12)


def test_degrees_of_freedom_are_those_of_the_corrected_kurtosis():
    values = np.random.default_rng(13).exponential(size=40)
    squares = (values - values.mean()) ** 2
    kurtosis = scipy_stats.kurtosis(values, fisher=False, bias=False)
    assert kurtosis == pytest.approx(5.70, abs=0.01)
    assert float(freedom(squares.mean(), (squares**2).mean(), 40)) == pytest.approx(80 / (kurtosis - 1))


def test_one_score_that_carries_all_variance_counts_as_one_degree_of_freedom():
    scores = np.zeros((50, 1))
    scores[0] = 0.5
    squares = (scores[:, 0] - 0.01) ** 2
    # the corrected kurtosis of one score among 50 is 53: 2 * 50 / 52
    assert float(freedom(squares.mean(), (squares**2).mean(), 50)) == pytest.approx(100 / 52)


def test_scores_between_the_ends_have_wilsons_interval_at_their_effective_number():
    found = bounds(Share(), column(0.2, 0.4, 0.5, 0.7))
    spread = np.var([0.2, 0.4, 0.5, 0.7], ddof=1) / 4
    count = 0.45 * 0.55 / spread * (1.959964 / 3.182446) ** 2
    assert found.method == "score t"
    assert (found.low, found.high) == pytest.approx(wilson(0.45 * count, count), abs=1e-6)


def test_scores_are_never_less_sure_than_right_or_wrong_answers_of_their_mean():
    found = interval(Share(), column(0.0, 0.0, 0.0, 1.0, 1.0, 0.99))
    assert found == pytest.approx(wilson(2.99, 6), abs=1e-9)


def test_an_error_rate_has_an_interval_that_is_as_skewed_as_counts_are():
    rows = np.array([[0.0, 10.0], [2.0, 10.0], [1.0, 10.0], [0.0, 10.0], [2.0, 10.0]])
    spread = np.var([0.0, 0.2, 0.1, 0.0, 0.2], ddof=1) / 5
    square = 2.776445**2 * spread
    low, high = interval(Ratio(), rows)
    # both ends solve (0.1 - w)² = t² s² w / 0.1
    assert [(0.1 - end) ** 2 - square * end / 0.1 for end in (low, high)] == pytest.approx([0.0, 0.0], abs=1e-7)
    assert 0.0 < low < 0.1 < high


def test_no_interval_leaves_the_scale():
    rng = np.random.default_rng(14)
    for size in (2, 3, 4, 9):
        for _ in range(50):
            low, high = interval(Share(), rng.beta(0.2, 2.0, size=(size, 1)))
            assert 0.0 <= low < high <= 1.0
            low, high = interval(Ratio(), np.stack([rng.poisson(0.5, size), np.full(size, 7.0)], axis=1))
            assert 0.0 <= low <= high


def test_expanded_quantiles_of_normal_draws_are_students():
    draws = np.random.default_rng(15).normal(size=400_000) * math.sqrt(9 / 10)
    assert expanded_quantiles(draws, 10) == pytest.approx((-2.262, 2.262), abs=0.03)


def test_bootstrap_of_a_metric_that_is_no_sum_agrees_with_scipy():
    values = np.random.default_rng(3).exponential(size=101)
    expected = scipy_stats.bootstrap(
        (values,), np.median, n_resamples=3000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    # at 101 examples Student's factor widens both ends by under 2%
    assert interval(Median(), values[:, None], draws=3000) == pytest.approx((expected.low, expected.high), abs=0.05)
    assert bounds(Median(), values[:, None], draws=100).method == "percentile t"


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
    _, groups = clean(values, [str(group) for group in rng.integers(0, 9, size=60)])

    class SlowMean(Metric):
        name = "mean"

        def measure(self, example, responses):
            return np.zeros(1)

        def reduce(self, statistics):
            return float(statistics.mean())

    fast = resample(Mean(), [values], groups, seed=1, draws=200)
    assert resample(SlowMean(), [values], groups, seed=1, draws=200) == pytest.approx(fast, abs=1e-12)


def test_examples_without_a_cluster_are_their_own():
    _, groups = clean(np.zeros((5, 1)), ["a", "", "a", "", "b"])
    assert groups is not None
    assert groups.tolist() == [0, 1, 0, 2, 3]


def test_intervals_cover_the_truth_19_times_in_20():
    """2,000 data sets a row: the standard error of a coverage is 0.005."""
    rng = np.random.default_rng(8)
    clusters = [str(group) for group in range(10) for _ in range(20)]
    sizes = np.array([4, 5, 7, 9, 11, 15, 19, 24, 31, 40])
    uneven = [str(group) for group, size in enumerate(sizes) for _ in range(size)]

    def answers(sizes):
        return np.concatenate(
            [rng.random(size) < share for size, share in zip(sizes, rng.beta(2, 2, len(sizes)), strict=True)]
        )

    rows = {
        "few clusters": (Share(), lambda: answers([20] * 10), clusters, 0.5),
        "uneven clusters": (Share(), lambda: answers(sizes), uneven, 0.5),
        "skewed scores": (Share(), lambda: rng.beta(0.5, 2.5, size=10), None, 1 / 6),
        "rare scores": (Share(), lambda: (rng.random(50) < 0.05) * rng.random(50), None, 0.025),
        "normal": (Mean(), lambda: rng.normal(size=8), None, 0.0),
    }
    for name, (metric, draw, names, truth) in rows.items():
        ends = np.array([interval(metric, draw().astype(float)[:, None], names) for _ in range(2000)])
        covered = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
        assert 0.93 <= covered <= 0.97, name


def test_resamples_without_a_value_are_left_out():
    class Fragile(Metric):
        name = "fragile"

        def measure(self, example, responses):
            return np.zeros(1)

        def reduce(self, statistics):
            return float(statistics.mean()) if np.ptp(statistics) else math.nan

    # three examples: the quantiles at Phi(-5.27) are the ends of the draws, but for the constant ones
    low, high = interval(Fragile(), column(1.0, 2.0, 3.0), draws=500)
    assert (low, high) == pytest.approx((4 / 3, 8 / 3))


def test_values_are_enough_where_just_half_of_the_resamples_have_one_and_not_where_fewer_do():
    class Sometimes(Metric):
        name = "sometimes"
        present = 0

        def measure(self, example, responses):
            return np.zeros(1)

        def reduce(self, statistics):
            return float(statistics.mean())

        def resample(self, statistics, draws):
            values = statistics[draws, 0].mean(axis=1)
            values[self.present :] = math.nan
            return values

    metric, values = Sometimes(), np.random.default_rng(9).normal(size=(30, 1))
    metric.present = 50
    assert math.isfinite(interval(metric, values, draws=100)[0])
    metric.present = 49
    assert math.isnan(interval(metric, values, draws=100)[0])
