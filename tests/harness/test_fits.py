"""Is a fit made once for all runs that need the same one, and never taken for another?"""

from __future__ import annotations

import fcntl
import json
import threading
from dataclasses import replace

import pytest
from arena import Pupil, pairing, session

from harness.fits import CHECKPOINT, DONE, FITS, FitFolder, folder_of
from harness.runner import run_pairing
from harness.session import Shelf

SIGNATURE = {
    "task": "t",
    "model": "m",
    "seed": 0,
    "budget": {"steps": 3},
    "split": "test",
    "limit": None,
    "decoder": "a",
}
CODE = {"task": "1", "model": "2"}


@pytest.mark.parametrize("name", ["split", "limit", "decoder"])
def test_what_cannot_change_weights_shares_the_folder(tmp_path, name):
    assert folder_of(tmp_path, SIGNATURE, CODE) == folder_of(tmp_path, {**SIGNATURE, name: "other"}, CODE)


@pytest.mark.parametrize("name", ["task", "model", "seed", "budget"])
def test_what_decides_weights_has_its_own_folder(tmp_path, name):
    assert folder_of(tmp_path, SIGNATURE, CODE) != folder_of(tmp_path, {**SIGNATURE, name: "other"}, CODE)


def test_a_changed_source_has_its_own_folder(tmp_path):
    assert folder_of(tmp_path, SIGNATURE, CODE) != folder_of(tmp_path, SIGNATURE, {**CODE, "model": "3"})


def test_a_second_run_of_the_same_fit_trains_nothing_and_owes_the_same_seconds(tmp_path):
    pupil = Pupil()
    whole = run_pairing(pairing(model=pupil, learns=True), session(tmp_path)).result
    part = run_pairing(pairing(model=pupil, learns=True, limit=5), session(tmp_path)).result
    assert len(pupil.seen) == 40
    assert part.examples == 5
    assert part.timings["fit_seconds"] == whole.timings["fit_seconds"] > 0
    assert len(list((tmp_path / FITS).iterdir())) == 1


def test_another_seed_is_another_fit(tmp_path):
    pupil = Pupil()
    for seed in (0, 1):
        run_pairing(pairing(model=pupil, learns=True, seed=seed), session(tmp_path))
    assert len(pupil.seen) == 80


def test_fresh_makes_a_fit_once_for_all_cells_of_a_command(tmp_path):
    pupil, shelf = Pupil(), Shelf()
    run_pairing(pairing(model=pupil, learns=True), session(tmp_path))
    for limit in (3, 4):
        run_pairing(pairing(model=pupil, learns=True, limit=limit), session(tmp_path, fresh=True), shelf)
    assert len(pupil.seen) == 80


def test_a_damaged_note_of_the_cost_is_no_cost(tmp_path):
    with FitFolder(tmp_path, print) as folder:
        assert folder.cost() is None
        folder.finished(2.5)
        assert folder.cost() == 2.5
        (tmp_path / DONE).write_text("{", encoding="utf-8")
        assert folder.cost() is None


def test_a_fit_that_another_process_holds_is_waited_for(tmp_path):
    said: list[str] = []
    tmp_path.mkdir(exist_ok=True)
    other = open(tmp_path / "lock", "w", encoding="ascii")  # noqa: SIM115 - released by the timer
    fcntl.flock(other, fcntl.LOCK_EX)
    timer = threading.Timer(0.05, other.close)
    timer.start()
    with FitFolder(tmp_path, said.append):
        timer.join()
    assert len(said) == 1
    assert "waiting for it" in said[0]


def test_the_code_of_task_and_learner_reaches_the_folder(tmp_path):
    pupil = Pupil()
    for version in ("1", "2"):
        changed = replace(pairing(model=pupil, learns=True, limit=3), fit_code={"model": version})
        run_pairing(changed, session(tmp_path, fresh=False))
        # the run itself has the same signature, so its result is forgotten to reach the fit again
        for result in tmp_path.rglob("result.json"):
            result.unlink()
        for journal in tmp_path.rglob("journal.jsonl"):
            journal.unlink()
    assert len(pupil.seen) == 80


def kept(folder, lines):
    header = json.dumps({"__metadata__": {"progress": json.dumps({"step": 9, "history": lines})}}).encode()
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    (folder.checkpoints / CHECKPOINT).write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 64)


def test_a_fit_without_a_checkpoint_has_no_history(tmp_path):
    assert FitFolder(tmp_path, print).history() == []


def test_a_checkpoint_of_another_kind_has_no_history(tmp_path):
    folder = FitFolder(tmp_path, print)
    folder.checkpoints.mkdir()
    (folder.checkpoints / CHECKPOINT).write_bytes(b"not a checkpoint at all")
    assert folder.history() == []


def test_a_history_is_read_from_the_checkpoint_and_unknown_losses_are_none(tmp_path):
    folder = FitFolder(tmp_path, print)
    kept(folder, [[1, 3.0, float("nan")], [2, 2.0000004, 2.5]])
    assert folder.history() == [[1.0, 3.0, None], [2.0, 2.0, 2.5]]


def test_a_long_history_is_thinned_to_its_ends_and_points_between(tmp_path):
    folder = FitFolder(tmp_path, print)
    kept(folder, [[step, 1.0, 1.0] for step in range(1001)])
    steps = [step for step, _, _ in folder.history()]
    assert (len(steps), steps[0], steps[-1]) == (100, 0.0, 1000.0)
    assert steps == sorted(steps)
