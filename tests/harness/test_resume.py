"""A run that was broken off is completed, never repeated, and never mixed with another."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from arena import Scorer, ScoreTask, asked_of, pairing, session, stored

from harness.journal import JOURNAL, MANIFEST, RESULT, entries
from harness.runner import run_pairing

pytestmark = pytest.mark.usefixtures("quick_disk")


def test_a_finished_failure_is_not_asked_again_on_resume(tmp_path):
    log = tmp_path / "log"

    def hook(requests: Sequence[Any]) -> None:
        raise ValueError("broken")

    finished = run_pairing(pairing(ScoreTask(size=3), Scorer(log=log, hook=hook)), session(tmp_path))
    before, count = stored(finished), len(asked_of(log))
    (finished.folder / RESULT).unlink()
    assert stored(run_pairing(pairing(ScoreTask(size=3), Scorer(log=log, hook=hook)), session(tmp_path))) == before
    assert len(asked_of(log)) == count


@pytest.mark.parametrize("kept", [0, 1, 5, 39, 40])
def test_a_truncated_journal_is_completed_and_nothing_else_is_computed(tmp_path, kept):
    whole = run_pairing(pairing(), session(tmp_path))
    before = stored(whole)
    lines = (whole.folder / JOURNAL).read_bytes().splitlines(keepends=True)
    (whole.folder / JOURNAL).write_bytes(b"".join(lines[:kept]))
    (whole.folder / RESULT).unlink()
    log = tmp_path / "log"
    assert stored(run_pairing(pairing(model=Scorer(log=log)), session(tmp_path))) == before
    assert len(asked_of(log)) == 2 * (40 - kept)


def test_a_damaged_middle_line_is_reported_and_that_example_alone_computed(tmp_path):
    whole = run_pairing(pairing(), session(tmp_path))
    before = stored(whole)
    data = bytearray((whole.folder / JOURNAL).read_bytes())
    data[len(data) // 2] ^= 1
    (whole.folder / JOURNAL).write_bytes(bytes(data))
    (whole.folder / RESULT).unlink()
    log, said = tmp_path / "log", []
    resumed = run_pairing(pairing(model=Scorer(log=log)), session(tmp_path, announce=said.append))
    assert stored(resumed) == before
    assert len(asked_of(log)) == 2
    assert len(said) == 1
    assert "1 damaged line" in said[0]


def resealed(line: bytes, **changes: Any) -> bytes:
    body = json.loads(line)["entry"] | changes
    text = json.dumps(body, separators=(",", ":")).encode()
    return b'{"crc32":"' + f"{zlib.crc32(text):08x}".encode() + b'","entry":' + text + b"}\n"


def test_a_journal_whose_lines_contradict_each_other_is_computed_anew(tmp_path):
    whole = run_pairing(pairing(), session(tmp_path))
    before, log, said = stored(whole), tmp_path / "log", []
    lines = (whole.folder / JOURNAL).read_bytes().splitlines(keepends=True)
    statistics = {name: [*values, 0.5] for name, values in json.loads(lines[3])["entry"]["statistics"].items()}
    lines[3] = resealed(lines[3], statistics=statistics)
    (whole.folder / JOURNAL).write_bytes(b"".join(lines))
    (whole.folder / RESULT).unlink()
    assert stored(run_pairing(pairing(model=Scorer(log=log)), session(tmp_path, announce=said.append))) == before
    assert len(asked_of(log)) == 2 * 40
    assert "its journal contradicts itself" in said[0]


@pytest.mark.parametrize("change", [{"identity": None, "notes": 3}, {"identity": [1]}, {"notes": None}])
def test_a_manifest_of_another_shape_vouches_for_nothing(tmp_path, change):
    whole = run_pairing(pairing(), session(tmp_path))
    before = stored(whole)
    manifest = json.loads((whole.folder / MANIFEST).read_text()) | change
    (whole.folder / MANIFEST).write_text(json.dumps(manifest))
    (whole.folder / RESULT).unlink()
    assert stored(run_pairing(pairing(), session(tmp_path))) == before


def test_a_damaged_result_is_made_again_from_the_journal_alone(tmp_path):
    whole = run_pairing(pairing(), session(tmp_path))
    before = stored(whole)
    (whole.folder / RESULT).write_text('{"schema": 1, "half')
    log = tmp_path / "log"
    assert stored(run_pairing(pairing(model=Scorer(log=log)), session(tmp_path))) == before
    assert asked_of(log) == []


def test_a_journal_without_a_manifest_vouches_for_nothing(tmp_path):
    whole = run_pairing(pairing(), session(tmp_path))
    for name in (RESULT, MANIFEST):
        (whole.folder / name).unlink()
    log = tmp_path / "log"
    run_pairing(pairing(model=Scorer(log=log)), session(tmp_path))
    assert len(asked_of(log)) == 80


def test_weights_that_cannot_be_identified_are_never_reused(tmp_path):
    log, said = tmp_path / "log", []
    for _ in range(2):
        finished = run_pairing(pairing(model=Scorer(log=log, weights="")), session(tmp_path, announce=said.append))
        assert not finished.reused
    assert len(asked_of(log)) == 160
    assert "weights.weights cannot be identified" in said[0]


def test_responses_from_another_code_path_are_not_mixed_in(tmp_path):
    whole = run_pairing(pairing(), session(tmp_path))
    lines = (whole.folder / JOURNAL).read_bytes().splitlines(keepends=True)
    (whole.folder / JOURNAL).write_bytes(b"".join(lines[:10]))
    (whole.folder / RESULT).unlink()
    log, said = tmp_path / "log", []
    other = Scorer(log=log, identity={"parameters": 3, "backend": "fast"})
    finished = run_pairing(pairing(model=other), session(tmp_path, announce=said.append))
    assert finished.result.ran == {"backend": "fast"}
    assert len(asked_of(log)) == 80
    assert "now runs as {'backend': 'fast'}" in said[0]


def test_an_interrupt_keeps_what_is_finished_and_says_how_to_go_on(tmp_path):
    log = tmp_path / "log"

    def hook(requests: Sequence[Any]) -> None:
        if len(asked_of(log)) > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="the same command goes on from there"):
        run_pairing(pairing(model=Scorer(log=log, hook=hook)), session(tmp_path))
    [journal] = tmp_path.rglob(JOURNAL)
    done = {entry.id for _, entry in entries(journal.parent)}
    assert done
    log.unlink()
    resumed = run_pairing(pairing(model=Scorer(log=log)), session(tmp_path))
    assert len(asked_of(log)) == 2 * (40 - len(done))
    assert stored(resumed) == stored(run_pairing(pairing(), session(tmp_path / "other")))
