"""Runs of several seeds become one row whose interval and letters hold what seeds change."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
from scipy import stats

from harness.boards import markdown, seeds, tables
from harness.boards.records import Record

sys.path.append(str(Path(__file__).parent))
from shelves import answers, record


def run(right: int, seed: int, model: str = "lms/a", digest: str = "", ids: str = "same") -> Record:
    made = record(answers(right, 100 - right), digest or f"{model[-1]}{seed:015d}", model=model, seed=seed)
    found = made.result.metrics["key_found"]
    metrics = {"key_found": replace(found, low=found.value - 0.1, high=found.value + 0.1)}
    assert made.result.samples is not None
    samples = replace(made.result.samples, ids_digest=ids)
    return replace(made, result=replace(made.result, metrics=metrics, samples=samples))


def test_one_run_stays_itself():
    made = run(70, 0)
    assert seeds.merged([made]) is made


def test_a_row_of_several_seeds_is_their_mean_with_both_sources_of_doubt():
    row = seeds.merged([run(70, 0), run(80, 1), run(75, 2)])
    found = row.result.metrics["key_found"]
    half = sqrt(0.1**2 + (stats.t.ppf(0.975, 2) * stdev([0.7, 0.8, 0.75]) / sqrt(3)) ** 2)
    assert found.value == pytest.approx(0.75)
    assert (found.low, found.high) == (pytest.approx(0.75 - half), pytest.approx(0.75 + half))
    assert found.n == 100
    assert row.result.signature["seed"] == "0,1,2"


def test_seeds_with_examples_of_their_own_count_them_once():
    row = seeds.merged([run(70, 0, ids="one"), run(80, 1, ids="two")])
    found = row.result.metrics["key_found"]
    half = stats.t.ppf(0.975, 1) * stdev([0.7, 0.8]) / sqrt(2)
    assert found.n == 200
    assert (found.low, found.high) == pytest.approx((max(0.0, 0.75 - half), min(1.0, 0.75 + half)))
    assert row.result.samples is not None
    assert row.result.samples.statistics["key_found"].shape == (200, 1)


def test_rows_with_the_same_seeds_make_one_board():
    made = [run(70 + seed, seed, model) for model in ("lms/a", "lms/b") for seed in range(3)]
    (board,) = tables.boards(made)
    assert [(row.name, row.seeds) for row in board.rows] == [("lms/a", 3), ("lms/b", 3)]
    assert "means over 3 seeds (0,1,2)" in board.caption
    assert "--seed 0,1,2" in markdown.commands(board)
    assert "3 (sd 0.01)" in markdown.table(board)
    assert "[3 runs](records/long_context-passkey)" in markdown.table(board)


def test_a_row_with_more_seeds_stands_beside_one_of_a_single_seed_too():
    made = [run(70, seed, "lms/a") for seed in range(3)] + [run(60, 0, "lms/b")]
    shown = sorted(sorted((row.name, row.seeds) for row in board.rows) for board in tables.boards(made))
    assert shown == [[("lms/a", 1), ("lms/b", 1)], [("lms/a", 3)]]


def test_a_difference_that_seeds_can_make_tells_nobody_apart():
    steady = [run(70, seed, "lms/a") for seed in range(4)] + [run(55, seed, "lms/b") for seed in range(4)]
    shaky = [run(right, seed, "lms/a") for seed, right in enumerate((95, 45, 90, 50))] + steady[4:]
    (sure,), (unsure,) = tables.boards(steady), tables.boards(shaky)
    assert [row.letters for row in sure.rows] == ["a", "b"]
    assert [row.letters for row in unsure.rows] == ["a", "a"]


def test_slices_of_all_seeds_are_averaged():
    from harness.results import Slice

    def with_slice(made: Record) -> Record:
        return replace(made, result=replace(made.result, breakdown=(Slice({"length": "8"}, 10, made.result.metrics),)))

    row = seeds.merged([with_slice(run(70, 0)), with_slice(run(80, 1))])
    (part,) = row.result.breakdown
    assert part.metrics["key_found"].value == pytest.approx(0.75)
    assert part.examples == 20


def test_speeds_of_seeds_are_those_of_all_their_examples_together():
    slow, fast = run(70, 0), run(80, 1)
    fast = replace(fast, result=replace(fast.result, timings={"examples_per_second": 30.0}))
    assert seeds.merged([slow, fast]).result.timings["examples_per_second"] == pytest.approx(15.0)
    assert np.isclose(2 / (1 / 10 + 1 / 30), 15.0)
