"""`harness check` from records to exit code, outputs and one-line errors."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from planted_results import answers, flipped, result

from harness import cli, results


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    results.save(result(answers(700, 300)), tmp_path / "records" / "passkey" / "ngram.json")
    return tmp_path / "records", tmp_path / "runs"


def check(*words: object) -> int:
    return cli.main(["check", *map(str, words)])


def candidate(folder: Path, lost: int, **changes: object) -> None:
    results.save(result(flipped(answers(700, 300), lost), **changes), folder / "cell" / "0" / "result.json")


def test_nothing_to_compare_with_is_wrong_usage(capsys):
    assert check() == 2
    assert "needs --baseline" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--accuracy-margin", "--speed-margin", "--speed-seconds"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_a_margin_that_is_no_positive_number_is_wrong_usage(option, value, folders, capsys):
    assert check("--baseline", folders[0], option, value) == 2
    assert "must be more than 0" in capsys.readouterr().err


def test_an_absent_or_empty_baseline_is_one_line(tmp_path, capsys):
    assert check("--baseline", tmp_path / "absent") == 2
    assert check("--baseline", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(("lost", "expected"), [(0, 0), (40, 1), (6, 3)])
def test_exit_code_follows_the_verdict(lost, expected, folders, capsys):
    candidate(folders[1], lost)
    rules = ("--accuracy-margin", "0.008") if lost == 6 else ()
    assert check("--baseline", folders[0], "--candidate", folders[1], *rules) == expected
    assert "1 cells" in capsys.readouterr().out


def test_a_changed_data_digest_is_an_error_that_names_it(folders, capsys):
    candidate(folders[1], 0, data="generated:2")
    assert check("--baseline", folders[0], "--candidate", folders[1]) == 2
    assert "data: generated:1 -> generated:2" in capsys.readouterr().out


def test_every_output_is_written(folders, tmp_path, monkeypatch, capsys):
    candidate(folders[1], 40)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("earlier step\n", encoding="utf-8")
    words = ("--baseline", folders[0], "--candidate", folders[1], "--junit", tmp_path / "x" / "junit.xml", "--json")
    assert check(*words) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["verdicts"][0]["kind"] == "worse"
    assert shown.err.startswith("::error title=worse")
    assert ElementTree.parse(tmp_path / "x" / "junit.xml").getroot().find("testsuite").get("failures") == "1"
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("earlier step\n## Regression check")


def test_an_unknown_revision_is_one_line_before_anything_is_installed(capsys):
    if not (Path(__file__).parents[3] / ".git").exists():
        pytest.skip("not a git checkout")
    assert check("--against", "no-such-revision") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("harness: git rev-parse 'no-such-revision")


def test_other_models_can_be_left_out(folders, capsys):
    results.save(result(answers(7, 3), model="lms/smollm2"), folders[0] / "passkey" / "smollm2.json")
    candidate(folders[1], 0)
    assert check("--baseline", folders[0], "--candidate", folders[1]) == 2
    assert check("--baseline", folders[0], "--candidate", folders[1], "--model", "ngram") == 0


def test_a_broken_record_fails_the_check_and_is_named(folders, capsys):
    (folders[0] / "torn.json").write_text("{", encoding="utf-8")
    candidate(folders[1], 0)
    assert check("--baseline", folders[0], "--candidate", folders[1]) == 2
    assert "torn.json" in capsys.readouterr().out


def test_without_candidates_the_records_cells_are_run_now(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    words = [
        "run",
        "--task",
        "long_context/passkey",
        "--model",
        "lms/ngram",
        "--limit",
        "3",
        "--out",
        str(tmp_path / "records"),
    ]
    assert cli.main(words) == 0
    assert check("--baseline", tmp_path / "records", "--out", tmp_path / "now") == 0
    assert "no example changed" in capsys.readouterr().out
