"""Holm, letters and mean ranks against worked examples and scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from harness.api.errors import UsageError
from harness.multiple import holm, letters, rank, ranks


def test_holm_of_nothing_is_nothing():
    assert holm([]) == []


def test_holm_of_one_changes_nothing():
    assert holm([0.03]) == [0.03]


def test_holm_of_a_worked_example():
    # sorted: 0.01*4, 0.02*3, 0.03*2 -> raised to 0.06, 0.04*1 -> raised to 0.06
    assert holm([0.01, 0.04, 0.03, 0.02]) == pytest.approx([0.04, 0.06, 0.06, 0.06])


def test_holm_leaves_nan_out_of_the_count():
    assert holm([0.02, math.nan])[0] == 0.02
    assert math.isnan(holm([0.02, math.nan])[1])


def test_holm_is_never_above_bonferroni_nor_below_the_raw_value():
    values = np.random.default_rng(0).random(40) / 20
    adjusted = np.array(holm(list(values)))
    assert (adjusted >= values).all()
    assert (adjusted <= np.minimum(1, 40 * values)).all()


def test_letters_of_no_rows_is_empty():
    assert letters(0, []) == []


def test_letters_of_equal_rows_are_one_letter():
    assert letters(3, []) == ["a", "a", "a"]


def test_letters_of_a_chain_overlap():
    assert letters(3, [(0, 2)]) == ["a", "ab", "b"]


def test_letters_of_rows_that_all_differ_are_distinct():
    assert letters(4, list(itertools.combinations(range(4), 2))) == ["a", "b", "c", "d"]


def test_letters_refuse_a_row_that_is_not_there():
    with pytest.raises(UsageError, match="not two of 2 rows"):
        letters(2, [(0, 2)])


@given(
    st.integers(2, 8).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.sampled_from(list(itertools.combinations(range(n), 2)))))
    )
)
def test_rows_share_a_letter_exactly_when_they_cannot_be_told_apart(case):
    count, different = case
    display = [set(word) for word in letters(count, sorted(different))]
    for pair in itertools.combinations(range(count), 2):
        assert bool(display[pair[0]] & display[pair[1]]) == (pair not in different)
    groups = [{row for row in range(count) if letter in display[row]} for letter in set().union(*display)]
    assert not any(one < other for one in groups for other in groups)


def test_mean_ranks_share_ties():
    result = rank(np.array([[3.0, 1.0, 1.0], [3.0, 2.0, 1.0]]))
    assert result.mean_ranks == (1.0, 2.25, 2.75)


def test_friedman_equals_scipy_and_separates_a_clear_winner():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(20, 3)) + np.array([2.0, 0.0, 0.0])
    result = rank(scores)
    assert result.friedman_p == pytest.approx(scipy_stats.friedmanchisquare(*scores.T).pvalue)
    assert result.different == ((0, 1), (0, 2))


def test_no_pair_differs_where_friedman_does_not_reject():
    rng = np.random.default_rng(30)
    scores = np.round(rng.normal(size=(8, 4)), 2)
    scores[:, 0] += np.round(rng.exponential(0.8, 8), 2)
    result = rank(scores)
    assert result.friedman_p == pytest.approx(0.2725, abs=1e-4)
    # one pair alone would pass: 0.0469 after Holm
    assert sorted(p for _, _, p in result.pairs)[:2] == pytest.approx([0.046875, 1.0])
    assert result.different == ()
    assert rank(scores[:, [0, 2]]).different == ((0, 1),)


def test_equal_competitors_are_not_different():
    result = rank(np.ones((5, 3)))
    assert result.friedman_p == 1.0
    assert result.different == ()


def test_ranks_over_unequal_sets_are_refused():
    with pytest.raises(UsageError, match="missing"):
        rank(np.array([[1.0, math.nan]]))


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=6))
def test_ranks_are_those_of_scipy(rows):
    scores = np.array(rows, dtype=float)
    np.testing.assert_array_equal(ranks(scores), scipy_stats.rankdata(-scores, axis=1))
    np.testing.assert_array_equal(ranks(scores, higher_is_better=False), scipy_stats.rankdata(scores, axis=1))
