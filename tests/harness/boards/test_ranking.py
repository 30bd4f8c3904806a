"""Rows that differ are ranked, rows that cannot be told apart are tied, and protocols are never mixed."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.api.errors import UsageError
from harness.boards import ranking, tables

sys.path.append(str(Path(__file__).parent))
from shelves import answers, field, flipped, record, valueless


def test_no_record_gives_no_board():
    assert tables.boards([]) == []


def test_one_record_is_first_and_alone():
    (standing,) = ranking.standings([record(answers(7, 3))])
    assert (standing.rank, standing.letters) == (1, "a")


def test_rows_that_cannot_be_told_apart_share_rank_and_letter():
    found = [(row.record.result.model, row.rank, row.letters) for row in ranking.standings(field())]
    assert found == [("lms/best", 1, "a"), ("lms/near", 1, "a"), ("lms/weak", 3, "b")]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_record_without_a_finite_value_comes_last_and_has_no_rank(value):
    found = ranking.standings([valueless(record(answers(7, 3), model="lms/blank"), value), record(answers(7, 3))])
    assert [row.rank for row in found] == [1, 0]


@pytest.mark.parametrize(("key", "value"), [("data", "generated:2"), ("limit", 5), ("seed", 1), ("task_version", 2)])
def test_records_of_different_protocols_are_never_ranked_together(key, value):
    pair = [record(answers(7, 3)), record(answers(7, 3), model="lms/other", **{key: value})]
    with pytest.raises(UsageError, match=key):
        ranking.standings(pair)
    assert len(tables.boards(pair)) == 2


def test_records_without_per_example_statistics_are_never_told_apart():
    bare = [replace(item, result=replace(item.result, samples=None)) for item in field()]
    assert [row.rank for row in ranking.standings(bare)] == [1, 1, 1]


def test_equal_rows_are_one_group_however_exact_the_numbers_are():
    rows = answers(1, 999)
    assert [row.letters for row in ranking.standings([record(rows, model=name) for name in "xyz"])] == ["a"] * 3


def test_letters_agree_with_mcnemar_on_a_clear_difference():
    from harness.paired import mcnemar

    rows = answers(500, 500)
    other = flipped(rows, 60, 10)
    assert mcnemar(rows[:, 0], other[:, 0])[1] < 1e-6
    assert ranking.separated([record(rows), record(other)]) == [(0, 1)]


def test_wins_ties_and_losses_are_counted_example_by_example():
    rows = answers(6, 4)
    assert ranking.wins(record(rows), record(flipped(rows, 3, 1))) == (3, 6, 1)


def test_fifty_rows_of_ten_thousand_examples_take_seconds_not_minutes():
    rng = np.random.default_rng(0)
    rows = [record((rng.random((10_000, 1)) < 0.5 + share / 200) * 1.0, model=f"lms/{share}") for share in range(50)]
    found = ranking.standings(rows)
    assert found[0].rank == 1
    assert found[-1].rank > 30


def test_an_imported_row_stands_beside_ours_without_a_rank():
    (board,) = tables.boards([record(answers(7, 3)), record(answers(9, 1), origin="lm-eval", model="other/model")])
    assert [(row.rank, row.origin) for row in board.rows] == [(1, "harness"), (0, "lm-eval")]


def test_a_mean_rank_over_unequal_sets_of_tasks_is_refused():
    records = [record(answers(9 - place, 1 + place), model=model, task=task)
               for place, model in enumerate(("lms/a", "lms/b", "lms/c"))
               for task in ("x/one", "x/two", "x/three")
               if (model, task) != ("lms/c", "x/two")]  # fmt: skip
    found = tables.matrix(tables.boards(records))
    assert found.complete == ("lms/a", "lms/b")
    assert found.missing == [("lms/c", "x/two")]
    assert "lms/c" not in found.mean_ranks


def test_a_model_without_a_door_for_the_task_is_impossible_not_missing():
    records = [record(answers(7, 3), model="keyboard/identity", task="keyboard/correction"),
               record(answers(7, 3), model="lms/ngram", task="keyboard/correction"),
               record(answers(7, 3), model="lms/ngram", task="recall/noun_list")]  # fmt: skip
    found = tables.matrix(tables.boards(records))
    assert found.missing == []
    assert found.impossible == {("keyboard/identity", 1)}


def test_a_few_examples_cannot_tell_rows_apart_however_clear_they_look():
    better, worse = answers(4, 0), answers(0, 4)
    assert ranking.separated([record(better), record(worse)]) == []
    assert ranking.separated([record(answers(8, 0)), record(answers(0, 8))]) == [(0, 1)]


def test_equal_competitors_are_told_apart_in_about_the_promised_share_of_cases():
    rng = np.random.default_rng(1)
    false = sum(
        bool(ranking.separated([record((rng.random((40, 1)) < 0.5) * 1.0) for _ in range(3)], draws=200))
        for _ in range(200)
    )
    assert false / 200 < 0.10
