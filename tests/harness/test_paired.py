"""Paired tests against sacrebleu, scipy and enumeration by hand; degenerate cases first."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from plain_metrics import Mean, Median
from scipy import stats as scipy_stats

from harness.api.errors import UsageError
from harness.api.metrics import MeanMetric
from harness.paired import (
    compare,
    examples_needed,
    mcnemar,
    paired_bootstrap,
    randomisation,
    tango,
    wilcoxon,
)


class Share(MeanMetric):
    scale = (0.0, 1.0)
    name = "share"

    def value(self, example, responses):
        return 1.0


def test_no_common_example_gives_nan_and_no_test():
    result = compare(Mean(), np.array([[math.nan], [1.0]]), np.array([[1.0], [math.nan]]))
    assert result.test == "none"
    assert math.isnan(result.p)
    assert result.examples == 0


def test_equal_runs_have_p_of_one():
    same = np.random.default_rng(0).normal(size=(40, 1))
    assert compare(Mean(), same, same).p == 1.0
    assert compare(Share(), np.ones((40, 1)), np.ones((40, 1))).p == 1.0


def test_one_example_can_never_be_significant():
    assert compare(Mean(), np.array([[0.0]]), np.array([[5.0]])).p == 1.0


def test_runs_over_different_examples_are_refused():
    with pytest.raises(UsageError, match="same examples"):
        compare(Mean(), np.zeros((3, 1)), np.zeros((4, 1)))


def test_mcnemar_equals_enumeration_by_hand():
    first = [1, 1, 1, 1, 1, 0, 0, 1, 1]
    second = [0, 0, 0, 0, 0, 1, 0, 1, 1]
    outcomes = [sum(signs) for signs in itertools.product([0, 1], repeat=6)]
    exact = 2 * sum(total <= 1 for total in outcomes) / 64
    middle = sum(total == 1 for total in outcomes) / 64
    assert mcnemar(first, second) == pytest.approx((exact, exact - middle))
    assert mcnemar(second, first) == mcnemar(first, second)


def test_mcnemar_with_as_many_wins_as_losses_has_exact_p_of_one():
    assert mcnemar([1, 0], [0, 1]) == pytest.approx((1.0, 0.75))


def test_exact_randomisation_equals_scipy_permutation_test():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 9))
    expected = scipy_stats.permutation_test(
        (second, first), lambda a, b: np.mean(a) - np.mean(b), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert randomisation(Mean(), first, second) == pytest.approx(expected)


def test_approximate_randomisation_agrees_with_the_t_test_on_normal_data():
    rng = np.random.default_rng(2)
    first = rng.normal(size=300)
    second = first + rng.normal(0.2, 1.0, size=300)
    expected = scipy_stats.ttest_rel(first, second).pvalue
    assert randomisation(Mean(), first, second, draws=20_000) == pytest.approx(expected, abs=0.01)


def test_randomisation_by_clusters_is_less_sure_than_by_examples():
    first = np.zeros(120)
    second = np.repeat(np.random.default_rng(3).normal(0.3, 1.0, size=12), 10)
    clusters = [str(row // 10) for row in range(120)]
    assert randomisation(Mean(), first, second, clusters) > 3 * randomisation(Mean(), first, second)


def test_p_values_are_uniform_when_nothing_differs():
    rng = np.random.default_rng(4)
    p_values = [randomisation(Mean(), *rng.normal(size=(2, 30)), draws=199) for _ in range(300)]
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09


def test_compare_takes_mcnemar_for_right_or_wrong_answers():
    rng = np.random.default_rng(5)
    first, second = (rng.random((2, 200)) < [[0.8], [0.6]]).astype(float)
    result = compare(Share(), first, second)
    assert result.test == "mcnemar (mid-p)"
    assert result.p == mcnemar(first, second)[1]
    assert result.interval[0] < result.value < result.interval[1]
    assert result.value == pytest.approx(second.mean() - first.mean())


def test_paired_interval_is_narrower_than_the_unpaired_one():
    rng = np.random.default_rng(6)
    first = rng.normal(size=500)
    (low, high), _ = paired_bootstrap(Mean(), first, first + rng.normal(0.1, 0.05, size=500))
    assert 0.09 < low < high < 0.11


def test_wilcoxon_equals_scipy_and_all_ties_give_one():
    rng = np.random.default_rng(7)
    first, second = rng.normal(size=(2, 20))
    assert wilcoxon(first, second) == pytest.approx(scipy_stats.wilcoxon(second - first).pvalue)
    assert wilcoxon(first, first) == 1.0


def test_examples_needed_shrinks_the_interval_to_the_margin():
    rng = np.random.default_rng(8)
    first = rng.normal(size=200)
    result = compare(Mean(), first, first + rng.normal(0.0, 1.0, size=200))
    needed = examples_needed(result, margin=0.02)
    assert needed > 200
    many = rng.normal(result.value, 1.0, size=needed)
    later = compare(Mean(), np.zeros(needed), many)
    half = (later.interval[1] - later.interval[0]) / 2
    distance = min(abs(result.value - 0.02), abs(result.value + 0.02))
    assert half == pytest.approx(distance, rel=0.15)


def test_a_drawn_randomisation_is_never_surer_than_its_draws_allow():
    # 20 equal signs: 99 draws, none as extreme
    assert randomisation(Mean(), np.zeros(20), np.ones(20), draws=99) == pytest.approx(1 / 100)


def test_tangos_interval_solves_the_score_equation_at_the_likeliest_share():
    """The constrained likelihood is searched here on a grid; the code solves a quadratic."""
    first, second = np.array([1] * 8 + [0] * 13), np.array([1] + [0] * 7 + [1] + [0] * 12)
    lost, gained, count = 7, 1, 21
    low, high = tango(first, second)
    for end in (low, high):
        # q is the share of `lost`; that of `gained` is q + end
        share = np.linspace(max(0.0, -end), (1 - end) / 2, 400_001)[1:-1]
        likelihood = lost * np.log(share) + gained * np.log(share + end) + 13 * np.log(1 - 2 * share - end)
        best = share[likelihood.argmax()]
        score = (gained - lost - count * end) / math.sqrt(count * (2 * best + end * (1 - end)))
        assert abs(score) == pytest.approx(1.959964, abs=1e-3)
    assert (low, high) == pytest.approx((-0.5173, -0.0261), abs=1e-4)


def test_answers_that_never_differ_leave_room_for_a_difference():
    result = compare(Share(), np.ones((30, 1)), np.ones((30, 1)))
    # 3.8415 / 33.8415
    assert result.interval == pytest.approx((-0.1135, 0.1135), abs=1e-4)


def test_tangos_interval_leaves_out_0_where_mcnemars_uncorrected_test_rejects():
    from scipy.stats import chi2

    for lost in range(6):
        for gained in range(lost, 20):
            first = np.array([1] * lost + [0] * gained + [1] * 10)
            second = np.array([0] * lost + [1] * gained + [1] * 10)
            p = chi2.sf((gained - lost) ** 2 / max(1, gained + lost), 1)
            assert (tango(first, second)[0] > 0) == (p < 0.05)


def test_the_interval_of_scores_is_students_with_the_freedom_of_their_kurtosis():
    rng = np.random.default_rng(9)
    first, second = rng.uniform(size=(2, 12))
    change = second - first
    kurtosis = scipy_stats.kurtosis(change, fisher=False, bias=False)
    degrees = min(11.0, 24 / (kurtosis - 1))
    half = scipy_stats.t.ppf(0.975, degrees) * scipy_stats.sem(change)
    assert compare(Mean(), first, second).interval == pytest.approx((change.mean() - half, change.mean() + half))


def test_the_interval_holds_0_where_the_test_cannot_tell_the_runs_apart():
    # four equal signs have p = 1/8, while Student's interval of 2.4 ± 1.3 would leave 0 out
    result = compare(Mean(), np.zeros(4), np.array([2.0, 2.5, 1.6, 3.5]))
    assert result.p == 1 / 8
    assert result.interval[0] == 0.0
    assert result.interval[1] == pytest.approx(3.706, abs=1e-3)


def test_a_few_rare_differences_are_as_sure_as_the_less_sure_of_two_tests():
    first, second = np.zeros(60), np.array([1.0] * 5 + [9.0] + [0.0] * 54)
    result = compare(Mean(), first, second, draws=2000)
    # six swaps of one sign alone would have p = 2^-5; one score holds most of the variance, and t has a freedom of 2
    assert randomisation(Mean(), first, second, draws=2000) == pytest.approx(1 / 32, abs=0.01)
    assert result.p == pytest.approx(0.2568, abs=1e-4)
    assert result.interval == pytest.approx((-0.3767, 0.8434), abs=1e-4)


def test_the_interval_of_a_difference_of_medians_is_a_bootstraps():
    first = np.random.default_rng(10).normal(size=41)
    result = compare(Median(), first, first + 1.0, draws=200)
    assert result.interval == pytest.approx((1.0, 1.0))


@pytest.mark.parametrize(
    ("metric", "draw"),
    [
        (Mean(), lambda rng: rng.beta(0.5, 2.5, size=(2, 10))),
        (Share(), lambda rng: (rng.random((2, 50)) < 0.9).astype(float)),
    ],
)
def test_runs_that_differ_by_nothing_are_told_apart_in_one_case_of_twenty_at_most(metric, draw):
    rng = np.random.default_rng(11)
    found = [compare(metric, *draw(rng)) for _ in range(600)]
    # three standard errors of 600 cases are 0.027
    assert np.mean([result.p < 0.05 for result in found]) <= 0.077
    assert all(result.interval[0] <= 0 <= result.interval[1] for result in found if result.p >= 0.05)
