"""Published intervals are those of today's methods, computed from what a record holds; the record stays as it was."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness import methods, results
from harness.boards import markdown, records, seeds, tables
from harness.boards.intervals import StoredMean, reducer, with_todays
from harness.results import OLDER, Samples, Slice
from harness.stats import wilson

sys.path.append(str(Path(__file__).parent))
from shelves import answers, record, result, sealed


def test_a_result_without_statistics_keeps_its_interval_and_says_that_it_is_of_an_older_method():
    bare = replace(result(answers(70, 30)), samples=None)
    found = with_todays(bare).metrics["key_found"]
    assert (found.low, found.high, found.method) == (0.7, 0.7, OLDER)


def test_an_interval_is_computed_from_the_stored_statistics():
    found = with_todays(result(answers(70, 30))).metrics["key_found"]
    assert (found.low, found.high) == pytest.approx(wilson(70, 100))
    assert (found.value, found.method) == (0.7, "Wilson")


def test_the_records_file_keeps_the_interval_of_its_day(tmp_path):
    records.add(sealed(record(answers(70, 30))), tmp_path)
    (file,) = tmp_path.rglob("*.json")
    before = file.read_bytes()
    (shown,) = records.load_all(tmp_path).records
    assert (shown.result.metrics["key_found"].low, shown.result.metrics["key_found"].high) == pytest.approx(
        wilson(70, 100)
    )
    assert file.read_bytes() == before
    assert records.load(file).result.metrics["key_found"].low == 0.7


def test_a_value_that_the_statistics_do_not_give_keeps_its_interval():
    made = result(answers(70, 30))
    metrics = {"key_found": replace(made.metrics["key_found"], value=0.5)}
    assert with_todays(replace(made, metrics=metrics)).metrics["key_found"].method == OLDER


def test_statistics_of_another_width_are_passed_over():
    found = result(answers(70, 30)).metrics["key_found"]
    assert reducer("long_context/passkey", "key_found", found, np.zeros((100, 3))) is None


def test_a_plain_mean_of_a_task_that_is_not_here_is_still_a_mean():
    found = replace(result(answers(70, 30)).metrics["key_found"], scale=(0.0, 1.0))
    assert reducer("elsewhere/task", "key_found", found, answers(70, 30)) == StoredMean((0.0, 1.0))


def test_a_part_by_one_tag_has_the_interval_of_its_own_examples():
    made = result(answers(6, 4))
    tags = ("128",) * 6 + ("256",) * 4
    assert made.samples is not None
    parts = tuple(
        Slice({"length": length}, count, {"key_found": replace(made.metrics["key_found"], value=value, n=count)})
        for length, count, value in (("128", 6, 1.0), ("256", 4, 0.0))
    )
    whole = replace(made, breakdown=parts, samples=replace(made.samples, tags={"length": tags}))
    first, second = with_todays(whole).breakdown
    assert (first.metrics["key_found"].low, first.metrics["key_found"].high) == pytest.approx(wilson(6, 6))
    assert (second.metrics["key_found"].low, second.metrics["key_found"].high) == pytest.approx(wilson(0, 4))


def test_statistics_that_are_all_missing_have_no_interval():
    made = result(answers(6, 4))
    blank = replace(made, samples=Samples("same", {"key_found": np.full((10, 1), math.nan)}))
    assert with_todays(blank).metrics["key_found"].method == OLDER


def test_a_method_is_stored_and_an_old_file_without_one_reads_as_older():
    made = sealed(record(answers(7, 3))).result
    today = replace(made, metrics={"key_found": replace(made.metrics["key_found"], method="score t")})
    stored = results.to_json(today)
    assert stored["metrics"]["key_found"]["method"] == "score t"
    assert results.from_json(stored).metrics["key_found"].method == "score t"
    assert "method" not in results.to_json(made)["metrics"]["key_found"]
    assert results.from_json(results.to_json(made)).metrics["key_found"].method == OLDER


def test_records_that_differ_by_the_method_of_their_interval_alone_agree(tmp_path):
    old = sealed(record(answers(7, 3)))
    found = old.result.metrics["key_found"]
    new = replace(found, low=0.4, high=0.9, method="Wilson")
    assert records.add(old, tmp_path)
    assert not records.add(replace(old, result=replace(old.result, metrics={"key_found": new})), tmp_path)
    other = replace(found, low=0.4)
    with pytest.raises(Exception, match="other numbers"):
        records.add(replace(old, result=replace(old.result, metrics={"key_found": other})), tmp_path)


def test_seeds_on_the_same_examples_name_both_kinds_of_doubt():
    parts = [record(answers(right, 100 - right), seed=seed) for seed, right in enumerate((70, 75, 80))]
    made = seeds.merged([replace(part, result=with_todays(part.result)) for part in parts])
    assert made.result.metrics["key_found"].method == "Wilson and t over seeds"
    (board,) = tables.boards([replace(part, result=with_todays(part.result)) for part in parts])
    assert "] WT" in markdown.table(board)


def test_every_letter_of_a_method_is_explained():
    assert set(methods.LETTERS.values()) == set(methods.TOLD)
    assert methods.mark("Wilson and t over seeds") == "WT"
    assert methods.mark("a plug-in's own") == ""
    assert methods.legend(["WT", "W"]) == "W Wilson; T Student's t over seeds"
    assert methods.legend([]) == ""
