"""Differences of all pairs of runs, against closed forms and scipy's t test; degenerate cases first."""

from __future__ import annotations

import math

import numpy as np
import pytest
from plain_metrics import Mean, Median
from scipy import stats as scipy_stats

from harness.pairwise import spreads, student_p


class Odd(Median):
    """A mean that has a value in every other resample, or in none."""

    present = 0

    def reduce(self, statistics):
        return float(statistics.mean())

    def resample(self, statistics, draws):
        values = statistics[draws, 0].mean(axis=1)
        values[self.present :] = math.nan
        return values


def test_one_run_has_no_pair():
    variance, freedom = spreads(Mean(), [np.zeros((4, 1))])
    assert (variance.shape, freedom.shape) == ((0,), (0,))


def test_a_difference_that_no_example_moves_has_no_variance_however_the_numbers_round():
    run = np.random.default_rng(0).normal(size=(30, 1))
    variance, _ = spreads(Mean(), [run, run + 0.1, run])
    assert variance.tolist() == [0.0, 0.0, 0.0]
    # 30 equal signs by chance: 2^-29
    assert student_p(np.array([0.1, 0.0, 0.1]), (variance, np.full(3, 29.0)), 30) == [2.0**-29, 1.0, 2.0**-29]


def test_pairs_stand_in_the_order_of_the_upper_triangle():
    runs = [np.random.default_rng(seed).normal(size=(25, 1)) for seed in range(3)]
    variance, freedom = spreads(Mean(), runs)
    expected = [np.var(runs[b] - runs[a], ddof=1) / 25 for a, b in ((0, 1), (0, 2), (1, 2))]
    assert variance == pytest.approx(expected)
    assert (freedom <= 24).all()


def test_p_is_that_of_the_paired_t_test_where_the_kurtosis_is_small():
    rng = np.random.default_rng(3)
    first, second = rng.uniform(size=(2, 20, 1))
    second = second + 0.15
    variance, freedom = spreads(Mean(), [first, second])
    assert freedom.tolist() == [19.0]
    expected = scipy_stats.ttest_rel(second[:, 0], first[:, 0]).pvalue
    assert student_p(np.array([(second - first).mean()]), (variance, freedom), 20) == pytest.approx([expected])


def test_a_bootstrap_of_few_units_is_widened_by_what_dividing_by_u_leaves_out():
    first = np.zeros((3, 1))
    second = np.array([[0.0], [3.0], [6.0]])
    metric = Odd()
    metric.present = 200_000
    variance, freedom = spreads(metric, [first, second], draws=20_000)
    # the plain bootstrap's variance is 6 / 3, the unbiased one 9 / 3
    assert variance == pytest.approx([3.0], rel=0.03)
    assert freedom.tolist() == [2.0]


def test_runs_without_a_value_in_any_resample_are_never_told_apart():
    variance, freedom = spreads(Odd(), [np.zeros((9, 1)), np.ones((9, 1))], draws=50)
    assert variance.tolist() == [math.inf]
    assert student_p(np.array([1.0]), (variance, freedom), 9) == [1.0]


def test_variances_over_seeds_are_added_with_welchs_degrees_of_freedom():
    spread = np.array([0.04]), np.array([10.0])
    (p,) = student_p(np.array([0.6]), spread, 11, over_seeds=(np.array([0.05]), 3))
    degrees = 0.09**2 / (0.04**2 / 10 + 0.05**2 / 2)
    assert p == pytest.approx(2 * scipy_stats.t.sf(0.6 / 0.3, degrees))
    assert degrees == pytest.approx(5.745, abs=1e-3)


def test_clusters_are_left_out_whole():
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(6), 5)
    second = np.repeat(rng.normal(size=6), 5)[:, None]
    variance, _ = spreads(Mean(), [np.zeros((30, 1)), second], groups)
    assert variance == pytest.approx([np.var(second[::5], ddof=1) / 6])
