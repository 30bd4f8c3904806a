"""Rank correlations from counts, against scipy on the rows themselves; degenerate cases first."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.api.rank_correlation import counts, spearman


def by_draws(first: np.ndarray, second: np.ndarray, draws: np.ndarray) -> np.ndarray:
    values = np.empty(len(draws))
    for part, counted in counts(draws, len(first)):
        values[part] = spearman(first, second, counted)
    return values


def test_no_draw_has_no_value():
    assert by_draws(np.zeros(3), np.zeros(3), np.zeros((0, 3), dtype=int)).shape == (0,)


def test_one_pair_drawn_again_and_again_has_no_correlation():
    assert np.isnan(by_draws(np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([[1, 1]]))).all()


def test_one_side_of_equal_numbers_has_no_correlation():
    assert np.isnan(by_draws(np.ones(4), np.arange(4.0), np.arange(4)[None])).all()


def test_two_pairs_in_order_and_against_it():
    draws = np.array([[0, 1], [1, 0]])
    assert by_draws(np.array([1.0, 2.0]), np.array([5.0, 9.0]), draws).tolist() == [1.0, 1.0]
    assert by_draws(np.array([1.0, 2.0]), np.array([9.0, 5.0]), draws).tolist() == [-1.0, -1.0]


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_resamples_with_ties_equal_scipys(decimals):
    rng = np.random.default_rng(0)
    first = np.round(rng.normal(size=40), decimals)
    second = np.round(first + rng.normal(size=40), decimals)
    draws = rng.integers(0, 40, size=(50, 40))
    expected = [scipy_stats.spearmanr(first[rows], second[rows]).statistic for rows in draws]
    assert by_draws(first, second, draws) == pytest.approx(expected, abs=1e-12)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 30))
    draws = rng.integers(0, 30, size=(20, 30))
    whole = by_draws(first, second, draws)
    monkeypatch.setattr("harness.api.rank_correlation.BLOCK", 70)
    assert by_draws(first, second, draws).tolist() == whole.tolist()
