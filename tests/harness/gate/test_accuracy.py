"""Accuracy verdicts: better, same, worse, undecided, and errors that name what changed."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_results import TASK, answers, flipped, result

from harness import results
from harness.api.errors import DataError
from harness.gate import accuracy
from harness.gate.accuracy import AccuracyRules, check_results, judge
from harness.metrics.accuracy import Accuracy
from harness.metrics.cer import CharacterErrorRate
from harness.results import RunResult

RULES = AccuracyRules(draws=300)


def one(before: np.ndarray, after: np.ndarray, metric=None, rules: AccuracyRules = RULES):
    (verdict,) = judge([("cell", metric or Accuracy(), before, after, None)], rules)
    return verdict


def test_nothing_to_compare_gives_no_verdict():
    assert judge([], RULES) == []


def test_no_common_example_is_undecided():
    assert one(np.full((5, 1), math.nan), np.ones((5, 1))).kind == "undecided"


def test_unchanged_answers_are_the_same_even_for_one_example():
    for rows in (answers(700, 300), answers(1, 0)):
        verdict = one(rows, rows)
        assert (verdict.kind, verdict.p) == ("same", 1.0)


def test_two_points_lost_of_a_thousand_are_worse():
    rows = answers(700, 300)
    verdict = one(rows, flipped(rows, 20))
    assert verdict.kind == "worse"
    assert verdict.change == pytest.approx(-0.02)


def test_two_points_won_are_better():
    rows = answers(700, 300)
    assert one(rows, flipped(rows, 0, 20)).kind == "better"


def test_a_significant_loss_below_the_margin_is_not_worse():
    rows = answers(7000, 3000)
    assert one(rows, flipped(rows, 20)).kind == "same"


def test_two_lost_of_forty_are_undecided_and_say_how_many_would_tell():
    rows = answers(30, 10)
    verdict = one(rows, flipped(rows, 2))
    assert verdict.kind == "undecided"
    assert verdict.needed > 40
    assert f"about {verdict.needed:,} examples would tell" in verdict.reason


def test_a_rising_error_rate_is_worse():
    before = np.tile([1.0, 40.0], (500, 1))
    after = before + np.array([3.0, 0.0]) * (np.arange(500)[:, None] % 2)
    assert one(before, after, CharacterErrorRate()).kind == "worse"
    assert one(after, before, CharacterErrorRate()).kind == "better"


def test_an_error_rate_that_may_have_risen_is_undecided_and_says_by_how_much():
    # as often three errors more as three fewer in 40: the interval of the change holds 0 and losses that matter
    before = np.tile([4.0, 40.0], (60, 1))
    after = before + np.outer(np.where(np.arange(60) % 2, 3.0, -3.0), [1.0, 0.0])
    verdict = one(before, after, CharacterErrorRate())
    assert verdict.change == pytest.approx(0.0)
    # 1.96 times 3/40 over the root of 60 is 0.019
    assert (verdict.low, verdict.high) == (pytest.approx(-0.019, abs=0.004), pytest.approx(0.019, abs=0.004))
    # of one error in ten, a hundredth matters
    assert verdict.kind == "undecided"
    assert verdict.reason.startswith(f"a loss of up to {verdict.high:.3g} is possible, and 0.001 matters")


def test_holm_makes_one_of_many_cells_prove_more():
    rows = answers(700, 300)
    alone = one(rows, flipped(rows, 24, 8))
    quiet = [(str(cell), Accuracy(), rows, flipped(rows, 8, 8), None) for cell in range(30)]
    among = judge([("cell", Accuracy(), rows, flipped(rows, 24, 8), None), *quiet], RULES)[0]
    assert alone.kind == "worse"
    assert among.kind == "undecided"
    assert among.p > alone.p


def checked(old: RunResult, *new: RunResult):
    name = accuracy.cell_name
    return check_results({name(old): old}, {name(item): [item] for item in new}, RULES)


def test_new_code_is_judged_and_not_an_error():
    rows = answers(700, 300)
    new = result(flipped(rows, 40), harness="0.2.0", code={"model": "cccc"}, weights={"corpus": "dddd"})
    assert [verdict.kind for verdict in checked(result(rows), new)] == ["worse"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data", "generated:2"),
        ("task_version", 2),
        ("limit", 10),
        ("split", "validation"),
        ("dtype", "bfloat16"),
        ("metrics", {"key_found": "key_found|v2"}),
    ],
)
def test_a_changed_protocol_is_an_error_that_names_it(key, value):
    rows = answers(7, 3)
    (verdict,) = checked(result(rows), result(rows, **{key: value}))
    assert verdict.kind == "error"
    assert f"{key}: " in verdict.reason
    assert str(value)[:20] in verdict.reason


def test_a_record_without_a_candidate_is_an_error():
    (verdict,) = checked(result(answers(7, 3)))
    assert verdict.kind == "error"
    assert "no result" in verdict.reason


def test_a_candidate_without_a_record_is_new():
    old, new = result(answers(7, 3)), result(answers(7, 3), model="lms/other")
    verdicts = checked(old, old, new)
    assert sorted(verdict.kind for verdict in verdicts) == ["new", "same"]


def test_of_several_runs_the_newest_with_the_same_protocol_counts():
    rows = answers(700, 300)
    old = result(rows)
    runs = [result(flipped(rows, 50)), result(rows), result(rows, limit=5)]
    (verdict,) = check_results({accuracy.cell_name(old): old}, {accuracy.cell_name(old): runs}, RULES)
    assert verdict.kind == "same"


def test_a_result_without_samples_is_an_error():
    rows = answers(7, 3)
    (verdict,) = checked(result(rows), replace(result(rows), samples=None))
    assert verdict.kind == "error"
    assert "per-example statistics" in verdict.reason


def test_results_are_read_from_records_and_broken_ones_are_named(tmp_path: Path):
    results.save(result(answers(7, 3)), tmp_path / "task" / "model.json")
    (tmp_path / "task" / "torn.json").write_text('{"schema": 1, "dig', encoding="utf-8")
    (tmp_path / "task" / "newer.json").write_text('{"schema": 99}', encoding="utf-8")
    loaded, broken = accuracy.load_results(tmp_path)
    assert len(loaded) == 1
    assert {verdict.kind for verdict in broken} == {"error"}
    assert sorted(Path(verdict.cell).name for verdict in broken) == ["newer.json", "torn.json"]


def test_a_folder_without_results_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="holds no results"):
        accuracy.load_results(tmp_path)
    with pytest.raises(DataError, match="no results at"):
        accuracy.load_results(tmp_path / "absent")


def test_the_cell_to_run_now_repeats_the_record():
    cell = accuracy.cell_of(result(answers(7, 3), limit=10, seed=3, budget={"steps": 5, "seconds": 0.0, "tokens": 0}))
    assert (cell.task, cell.limit, cell.seed, cell.dtype, cell.budget.steps) == (TASK, 10, 3, "float32", 5)


def test_results_come_in_the_order_of_their_own_dates_not_of_their_files(tmp_path: Path):
    for name, day, touched in (("a", "2026-01-02", 1), ("b", "2026-01-01", 2)):
        made = replace(result(answers(6, 4), model=f"lms/{name}"), environment={"date": f"{day}T00:00:00+00:00"})
        results.save(made, tmp_path / f"{name}.json")
        os.utime(tmp_path / f"{name}.json", (touched, touched))
    loaded, _ = accuracy.load_results(tmp_path)
    assert [found.model for found in loaded] == ["lms/b", "lms/a"]
