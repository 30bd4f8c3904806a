"""The confidence sequence holds at all times, with any noise, and decides when it should."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate

from harness.gate.sequential import MedianSequence, rounds_above, wealth


def filled(values, error: float = 0.01) -> MedianSequence:
    sequence = MedianSequence(error)
    for value in values:
        sequence.add(float(value))
    return sequence


def test_before_the_first_round_nothing_is_known():
    sequence = MedianSequence(0.01)
    assert math.isnan(sequence.median)
    assert sequence.decide(0.05) == "undecided"


def test_one_round_can_never_decide():
    assert filled([5.0]).decide(0.05) == "undecided"


@pytest.mark.parametrize(("above", "size"), [(0, 1), (3, 5), (10, 10), (40, 60)])
def test_wealth_equals_the_integral_that_defines_it(above, size):
    bets = integrate.quad(lambda p: 2 * (2 * p) ** above * (2 * (1 - p)) ** (size - above), 0.5, 1.0)[0]
    assert wealth(above, size) == pytest.approx(bets)


@pytest.mark.parametrize("size", [1, 7, 30])
def test_wealth_is_a_fair_game_when_the_value_is_the_median(size):
    expected = sum(math.comb(size, k) / 2**size * wealth(k, size) for k in range(size + 1))
    assert expected == pytest.approx(1.0)


def test_ten_rounds_on_one_side_are_enough_and_eight_are_not():
    assert rounds_above(8, 0.01) is None
    assert rounds_above(10, 0.01) == 10


def test_bounds_are_order_statistics_and_never_widen():
    sequence = filled(range(10))
    assert (sequence.low, sequence.high) == (0.0, 8.0)
    sequence.add(100.0)
    assert sequence.high == 8.0


def test_the_bounds_are_ever_wrong_no_more_often_than_promised_under_cauchy_noise():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        sequence = MedianSequence(0.05)
        for value in rng.standard_cauchy(60):
            sequence.add(value)
            if sequence.low > 0.0 or sequence.high < 0.0:
                wrong += 1
                break
    # both bounds together are wrong with probability at most 0.10
    assert wrong / 400 < 0.10


@pytest.mark.parametrize(("centre", "expected"), [(0.2, "worse"), (-0.2, "better"), (0.0, "same")])
def test_a_clear_change_is_decided(centre, expected):
    rng = np.random.default_rng(1)
    sequence = filled(centre + 0.02 * rng.standard_normal(40))
    assert sequence.decide(0.05) == expected


def test_a_change_on_the_margin_stays_undecided_and_asks_for_more_rounds():
    rng = np.random.default_rng(2)
    sequence = filled(math.log1p(0.05) + 0.02 * rng.standard_normal(40))
    assert sequence.decide(0.05) == "undecided"
    assert sequence.rounds_needed(0.05) > 40
