"""Records are written once and whole, by however many writers, and what cannot be read is told, never shown."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from harness.api.errors import DataError
from harness.boards import records

sys.path.append(str(Path(__file__).parent))
from shelves import answers, flipped, odd_record, record, sealed


def stored(folder: Path, made: records.Record) -> Path:
    whole = sealed(made)
    assert records.add(whole, folder)
    return folder / records.path_of(whole)


def edited(file: Path, **changes) -> None:
    found = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))


def test_an_absent_folder_holds_no_record(tmp_path):
    assert records.load_all(tmp_path / "none") == records.Shelf((), ())


@pytest.mark.parametrize("made", [record(answers(7, 3)), odd_record()], ids=["plain", "odd"])
def test_a_record_comes_back_as_it_was(tmp_path, made):
    file = stored(tmp_path, made)
    assert json.loads(records.to_text(records.load(file))) == json.loads(records.to_text(sealed(made)))


def test_a_record_lies_at_task_and_model(tmp_path):
    file = stored(tmp_path, record(answers(7, 3), "a" * 16))
    assert file == tmp_path / "long_context-passkey" / "lms-ngram.892ccbd765a1077d.json"


def test_publishing_again_changes_nothing(tmp_path):
    file = stored(tmp_path, record(answers(7, 3), "a" * 16))
    before = file.stat().st_mtime_ns
    assert not records.add(sealed(record(answers(7, 3), "a" * 16)), tmp_path)
    assert file.stat().st_mtime_ns == before


def test_a_signature_with_another_number_is_refused(tmp_path):
    stored(tmp_path, record(answers(7, 3), "a" * 16))
    with pytest.raises(DataError, match="never edited"):
        records.add(sealed(record(answers(8, 2), "a" * 16)), tmp_path)


def test_two_files_of_one_signature_with_different_numbers_count_for_nothing(tmp_path):
    file = stored(tmp_path, record(answers(7, 3), "a" * 16))
    other = stored(tmp_path / "elsewhere", record(answers(8, 2), "a" * 16))
    other.rename(file.with_name("copy.json"))
    shelf = records.load_all(tmp_path)
    assert shelf.records == ()
    assert "different numbers" in shelf.problems[0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"metrics": None}, "metrics"), ({"schema": 99}, "schema is 99"), ({"record": {"schema": 99}}, "schema 99"),
     ({"signature": {"task": "x"}}, "model"), ({"digest": 3}, "digest"),
     ({"record": {"samples": [{"id": "x"}]}}, "incomplete")],
)  # fmt: skip
def test_a_damaged_or_newer_record_is_a_problem_beside_the_good_ones(tmp_path, changes, told):
    stored(tmp_path, record(answers(7, 3), "a" * 16))
    edited(stored(tmp_path, record(answers(6, 4), "b" * 16)), **changes)
    shelf = records.load_all(tmp_path)
    assert len(shelf.records) == 1
    assert told in shelf.problems[0]


def test_a_file_that_is_cut_short_is_a_problem(tmp_path):
    file = stored(tmp_path, record(answers(7, 3), "a" * 16))
    file.write_text(file.read_text()[:500])
    assert len(records.load_all(tmp_path).problems) == 1


def test_the_newest_record_of_a_cell_counts_and_the_older_says_so(tmp_path):
    old = record(answers(7, 3), "a" * 16)
    new = record(flipped(answers(7, 3), 1), "b" * 16)
    later = {**new.result.environment, "date": "2027-01-01T00:00:00+00:00"}
    stored(tmp_path, replace(new, result=replace(new.result, environment=later)))
    stored(tmp_path, old)
    shelf = records.load_all(tmp_path)
    newest = sealed(new).result.digest
    assert [found.result.digest for found in shelf.current] == [newest]
    assert {found.superseded_by for found in shelf.records} == {"", newest}


def test_a_newer_version_of_a_task_supersedes_an_older_one_that_ran_later(tmp_path):
    first, second = (sealed(record(answers(7, 3), letter * 16, task_version=version))
                     for letter, version in (("a", 1), ("b", 2)))  # fmt: skip
    later = {**first.result.environment, "date": "2027-01-01T00:00:00+00:00"}
    for made in (replace(first, result=replace(first.result, environment=later)), second):
        assert records.add(made, tmp_path)
    assert [found.result.signature["task_version"] for found in records.load_all(tmp_path).current] == [2]


def test_machines_of_different_kinds_do_not_supersede_each_other(tmp_path):
    made = record(answers(7, 3), "a" * 16)
    other = {**made.result.environment, "accelerator": "Test GPU"}
    stored(tmp_path, made)
    stored(tmp_path, replace(made, result=replace(made.result, digest="b" * 16, environment=other)))
    assert len(records.load_all(tmp_path).current) == 2


def publish_many(folder: Path, first: int) -> None:
    for place in range(first, first + 60):
        records.add(sealed(record(answers(1 + place, 99), f"{place:016x}")), folder)


def test_two_processes_at_once_lose_and_tear_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    # the ranges overlap, so that both write some of the same records
    writers = [context.Process(target=publish_many, args=(tmp_path, first)) for first in (0, 30)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    shelf = records.load_all(tmp_path)
    assert len(shelf.records) == 90
    assert shelf.problems == ()


def test_a_killed_writer_leaves_whole_records_only(tmp_path):
    script = textwrap.dedent(f"""
        import sys
        sys.path.append({str(Path(__file__).parent)!r})
        from pathlib import Path
        from harness.boards import records
        from shelves import answers, record, sealed
        for place in range(100_000):
            records.add(sealed(record(answers(1 + place % 90, 99), f"{{place:016x}}")), Path({str(tmp_path)!r}))
            print(place, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(25)]
    os.kill(process.pid, signal.SIGKILL)
    said += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    shelf = records.load_all(tmp_path)
    assert shelf.problems == ()
    # what was told as written is there
    assert len(shelf.records) >= len([line for line in said if line.endswith("\n")]) >= 25
