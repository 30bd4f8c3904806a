"""A leaderboard ranks what differs, ties what does not, and stays a table whatever a name holds."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness import leaderboard
from harness.api.errors import UsageError
from harness.results import Samples

sys.path.append(str(Path(__file__).parent / "gate"))
from planted_results import answers, flipped, result

ODD = "a|b\n<script>alert(1)</script> [x](y) \x1b[31m `c` _d_ \u202e 😀"


def field():
    rows = answers(700, 300)
    return [
        result(flipped(rows, 300), model="lms/weak"),
        result(flipped(rows, 2, 1), model="lms/near"),
        result(rows, model="lms/best"),
    ]


def test_no_result_gives_no_table():
    assert leaderboard.boards([]) == ""


def test_one_result_is_first_and_alone():
    (standing,) = leaderboard.standings([result(answers(7, 3))])
    assert (standing.rank, standing.letters) == (1, "a")


def test_rows_that_cannot_be_told_apart_share_rank_and_letter():
    found = [(row.result.model, row.rank, row.letters) for row in leaderboard.standings(field())]
    assert found == [("lms/best", 1, "a"), ("lms/near", 1, "a"), ("lms/weak", 3, "b")]


def test_a_result_without_a_value_comes_last_and_has_no_rank():
    rows = np.full((10, 1), math.nan)
    blank = result(answers(7, 3), model="lms/blank")
    measured = replace(blank.metrics["key_found"], value=math.nan, low=math.nan, high=math.nan, n=0)
    blank = replace(blank, metrics={"key_found": measured}, samples=Samples("same", {"key_found": rows}))
    found = leaderboard.standings([blank, result(answers(7, 3))])
    assert [row.rank for row in found] == [1, 0]
    assert "none" in leaderboard.table(found)


@pytest.mark.parametrize(("key", "value"), [("data", "generated:2"), ("limit", 5), ("seed", 1)])
def test_results_of_different_protocols_are_never_ranked_together(key, value):
    pair = [result(answers(7, 3)), result(answers(7, 3), **{key: value})]
    with pytest.raises(UsageError, match=key):
        leaderboard.standings(pair)
    assert leaderboard.boards(pair).count("###") == 2


def test_results_without_per_example_statistics_are_never_told_apart():
    bare = [replace(item, samples=None) for item in field()]
    assert [row.rank for row in leaderboard.standings(bare)] == [1, 1, 1]


def test_the_same_results_give_the_same_bytes_in_any_order():
    assert leaderboard.boards(field()) == leaderboard.boards(field()[::-1])


def test_a_name_with_markup_stays_in_its_cell():
    text = leaderboard.boards([result(answers(7, 3), model=ODD), result(answers(7, 3))])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert not any(part in text for part in ("<script", "\x1b", "\u202e", "](y)"))


def test_fifty_rows_of_ten_thousand_examples_take_seconds_not_minutes():
    rng = np.random.default_rng(0)
    rows = [result((rng.random((10_000, 1)) < 0.5 + share / 200) * 1.0, model=f"lms/{share}") for share in range(50)]
    standings = leaderboard.standings(rows)
    assert standings[0].rank == 1
    assert standings[-1].rank > 30
