"""The four outputs of a check stay intact whatever a name or a reason holds."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import pytest

from harness.gate import report as shown
from harness.gate.verdicts import Report, Verdict

ODD = 'a|b\n<script>alert(1)</script> [x](y) \x1b[31m `c` \u202e 😀 100% "q"'


def verdict(kind: str, cell: str = "task x model", **more) -> Verdict:
    return Verdict("accuracy", cell, "bleu", kind, "because", 30.0, 29.0, -1.0, -1.5, -0.5, 0.001, 1000, **more)


def test_nothing_compared_is_an_error_and_not_a_pass():
    assert Report([]).exit_code() == 2
    assert "nothing was compared" in shown.as_table(Report([]))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [(["same", "better", "new"], 0), (["same", "undecided"], 3), (["error", "undecided"], 2), (["worse", "error"], 1)],
)
def test_exit_code(kinds, expected):
    assert Report([verdict(kind) for kind in kinds]).exit_code() == expected


def test_undecided_may_pass_or_fail_on_request():
    report = Report([verdict("undecided")])
    assert (report.exit_code(0), report.exit_code(1)) == (0, 1)


def test_what_blocks_comes_first():
    report = Report([verdict(kind) for kind in ("same", "new", "undecided", "error", "worse")])
    kinds = [item["kind"] for item in json.loads(shown.as_json(report))["verdicts"]]
    assert kinds == ["worse", "error", "undecided", "new", "same"]


def test_json_holds_no_nan():
    text = shown.as_json(Report([Verdict("speed", "startup", "seconds", "error", "x", high=math.inf)]))
    found = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert found["verdicts"][0]["high"] is None


def test_junit_is_well_formed_and_counts():
    report = Report([verdict("worse", ODD), verdict("error"), verdict("undecided"), verdict("new"), verdict("same")])
    suite = ElementTree.fromstring(shown.as_junit(report).encode()).find("testsuite")
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "1", "errors": "1", "skipped": "2",
    }  # fmt: skip
    assert suite.find("testcase/failure").get("message") == "because"


def test_a_markdown_row_has_as_many_cells_as_the_header_whatever_it_holds():
    text = shown.as_markdown(Report([verdict("worse", ODD)], {"reference": ODD}))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_summary_stays_below_its_limit_and_says_what_is_left_out():
    report = Report([verdict("same", f"cell {number} " + "😀" * 200) for number in range(3000)])
    text = shown.as_markdown(report)
    assert len(text.encode()) <= shown.SUMMARY_BYTES
    assert "more rows do not fit" in text
    assert len(shown.as_markdown(report, limit=10_000).encode()) <= 10_000


def test_an_annotation_is_one_line_that_ends_no_command():
    (line,) = shown.workflow_commands(Report([verdict("worse", "50%\n::error::fake")]))
    assert line.startswith("::error title=worse%3A bleu::50%25\\n")
    assert "\n" not in line


def test_same_cells_are_not_annotated():
    assert shown.workflow_commands(Report([verdict("same"), verdict("new")])) == []


def test_the_table_shows_speed_as_a_percentage():
    found = Verdict("speed", "startup", "seconds", "worse", "1.2 times", 0.1, 0.12, 0.2, 0.18, math.inf, count=12)
    text = shown.as_table(Report([found]))
    assert "+20.0%" in text
    assert "inf" not in text
