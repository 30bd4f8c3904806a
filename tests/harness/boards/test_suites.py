"""A task run over the names of one parameter is one experiment: one table, one diagram, and folded tables."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from harness.boards import markdown, site, suites, tables
from harness.boards.records import Record

sys.path.append(str(Path(__file__).parent))
from shelves import answers, record, shelf

SETS = ("ACSF1", "ArrowHead", "Chinatown", "Epilepsy")


def runs(sets: tuple[str, ...] = SETS, models: str = "abc", k: str = ",k=1") -> list[Record]:
    return [
        record(answers(70 - 9 * place + at, 30 + 9 * place - at), f"{model}{at:014d}{len(k)}", model=f"series/{model}",
               task=f"few_shot_series/uea:dataset={name}{k}")
        for place, model in enumerate(models) for at, name in enumerate(sets)
    ]  # fmt: skip


def test_no_board_gives_no_suite():
    assert suites.suites([]) == ([], [])


def test_two_sets_are_two_tables():
    boards = tables.boards(runs(SETS[:2]))
    assert suites.suites(boards) == ([], boards)


def test_lengths_are_points_of_a_curve_and_no_suite():
    made = [record(answers(7, 3), f"{length:016d}", task=f"recall/noun_list:items={length}") for length in (5, 10, 20)]
    boards = tables.boards(made)
    assert suites.suites(boards)[0] == []


def test_sets_with_the_same_other_parameters_make_a_suite_and_defaults_count():
    found, loose = suites.suites(tables.boards(runs() + runs(k="")))
    assert [suite.title for suite in found] == ["few_shot_series/uea:k=1", "few_shot_series/uea:k=5"]
    assert found[0].axis == "dataset"
    assert sorted(found[0].places) == list(SETS)
    assert loose == []


def test_the_table_of_a_suite_holds_sets_means_and_mean_ranks():
    (suite,), _ = suites.suites(tables.boards(runs()))
    text = markdown.suite_table(suite)
    assert text.index("series/a") < text.index("series/b") < text.index("series/c")
    assert "| **mean rank**" in text
    (means,) = (line for line in text.splitlines() if "**mean**" in line)
    assert [cell.strip() for cell in means.split("|")[2:5]] == ["0.715", "0.625", "0.535"]


def test_the_speeds_of_a_suite_are_marked_where_one_of_its_sets_was_timed_on_a_busy_machine():
    made = [
        replace(one, result=replace(one.result, environment={**one.result.environment, "load": 9.0}))
        if (one.result.model, "Epilepsy" in one.result.task) == ("series/b", True) else one
        for one in runs()
    ]  # fmt: skip
    (suite,), _ = suites.suites(tables.boards(made))
    (speeds,) = (line for line in markdown.suite_table(suite).splitlines() if "**examples/s**" in line)
    assert [cell.strip() for cell in speeds.split("|")[2:5]] == ["10", "10†", "10"]


def test_a_contestant_that_lacks_a_set_has_no_mean():
    (suite,), _ = suites.suites(tables.boards(runs()[:-1]))
    text = markdown.suite_table(suite)
    assert "missing" in text
    assert "none (3 of 4)" in text


def test_a_suite_has_its_diagram_and_its_tables_are_folded():
    files = site.build(shelf(*runs()))
    page = files["few_shot_series.md"]
    assert "Friedman" in files["plots/few_shot_series-uea-critical-difference.svg"]
    assert page.count("### few_shot_series/uea:dataset=") == len(SETS)
    assert "Every table with its commands" in page
    assert "## few_shot_series/uea" in files["README.md"]
