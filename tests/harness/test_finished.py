"""Verbs take runs, records, and folders of runs; what lies there is found in one order."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness import cli, finished, results
from harness.api.errors import DataError, UsageError
from harness.journal import JOURNAL, RESULT

sys.path.append(str(Path(__file__).parent / "boards"))
from shelves import answers, flipped, record, sealed


def put(folder: Path, name: str, **changes) -> Path:
    """A finished run below the folder."""
    rows = flipped(answers(70, 30), 20 if name == "weak" else 0)
    made = sealed(record(rows, name.rjust(16, "0"), model=f"lms/{name}", **changes)).result
    run = folder / "task" / name / made.digest
    results.save(made, run / RESULT)
    (run / JOURNAL).touch()
    return run


def test_a_file_a_run_and_a_folder_of_runs_are_found(tmp_path):
    first, second = put(tmp_path, "best"), put(tmp_path, "weak")
    assert list(finished.files([tmp_path])) == [first / RESULT, second / RESULT]
    assert list(finished.files([second, first / RESULT])) == [second / RESULT, first / RESULT]
    assert list(finished.folders([tmp_path])) == [first, second]


def test_nothing_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="none does not exist"):
        list(finished.files([tmp_path / "none"]))
    with pytest.raises(DataError, match="no finished run lies at or below"):
        list(finished.files([tmp_path]))
    (tmp_path / "r.json").touch()
    with pytest.raises(UsageError, match=r"r\.json is no folder of runs"):
        list(finished.folders([tmp_path / "r.json"]))


def test_report_and_export_take_the_folder(tmp_path, capsys):
    put(tmp_path, "best"), put(tmp_path, "weak")
    assert cli.main(["report", str(tmp_path)]) == 0
    page = capsys.readouterr().out
    assert "2 runs with seqharness 0.1.0" in page
    assert cli.main(["export", "--format", "csv", str(tmp_path)]) == 0
    assert [line.split(",")[2] for line in capsys.readouterr().out.splitlines()] == ["model", "lms/best", "lms/weak"]


def test_compare_takes_the_folder_and_pairs_the_runs_of_one_question_with_the_first_of_them(tmp_path, capsys):
    for name in ("best", "near", "weak"):
        put(tmp_path, name)
    put(tmp_path, "other", seed=1)
    assert cli.main(["compare", "--json", "--draws", "50", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    digest = json.loads(next(tmp_path.glob("task/best/*/result.json")).read_text())["digest"]
    assert [row["reference_digest"] for row in rows] == [digest, digest]
    assert [row["difference"] for row in rows] == [0.0, pytest.approx(-0.2)]


def test_compare_of_two_named_runs_of_two_questions_is_refused(tmp_path, capsys):
    first, second = put(tmp_path, "best"), put(tmp_path, "other", seed=1)
    assert cli.main(["compare", str(first), str(second)]) == 2
    assert "seed is 0 in the first and 1 in the other" in capsys.readouterr().err
    assert cli.main(["compare", str(first)]) == 2
    assert "compare needs two or more finished runs" in capsys.readouterr().err
    assert cli.main(["compare", str(tmp_path)]) == 2
    assert "no two of these 2 runs are of one task, split and seed" in capsys.readouterr().err


def changed(run: Path, **environment) -> None:
    found = results.load(run)
    results.save(replace(found, environment={**found.environment, **environment}), run / RESULT)


@pytest.mark.parametrize("fact", [{"commit": "a" * 40 + "+changes"}, {"commit": "a" * 40, "dirty": True}])
def test_a_run_of_changed_sources_is_published_on_request_alone_and_its_row_says_so(tmp_path, capsys, fact):
    put(tmp_path / "runs", "best")
    changed(put(tmp_path / "runs", "weak"), **fact)
    publish = ["publish", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    assert cli.main(publish) == 2
    assert "1 of 2 runs come from sources that differed from their commit" in capsys.readouterr().err
    # refused before anything was written
    assert not (tmp_path / "out").exists()
    assert cli.main([*publish, "--allow-changed"]) == 0
    lines = (tmp_path / "out" / "long_context.md").read_text().splitlines()
    marked = [line.split("|")[2].strip() for line in lines if line.startswith("|") and " ‡ |" in line]
    assert marked == ["lms/weak"]
    assert "‡" in (tmp_path / "out" / "site" / "index.html").read_text()


@pytest.mark.parametrize("place", ["notes", "failures", "environment"])
def test_a_run_that_tells_a_secret_is_not_published(tmp_path, capsys, place):
    run = put(tmp_path / "runs", "best")
    found, secret = results.load(run), "https://me:hunter2@host/v1"
    told = {"notes": (secret,), "environment": {**found.environment, "system": secret}, "failed": 0}
    told["failures"] = (results.FailureKind(secret, 1, "e"),)
    chosen = {place: told[place]} | ({"failed": 1} if place == "failures" else {})
    results.save(replace(found, **chosen), run / RESULT)
    assert cli.main(["publish", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "holds a user name or password in an address, which must not be published" in said
    assert "hunter2" not in said
    assert not list((tmp_path / "out").rglob("*.json"))


def test_a_run_of_committed_sources_is_published(tmp_path):
    changed(put(tmp_path / "runs", "best"), commit="a" * 40)
    assert cli.main(["publish", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    assert " ‡ |" not in (tmp_path / "out" / "long_context.md").read_text()
