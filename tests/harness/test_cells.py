"""Cells of one command: warm-up, shared loads, progress, turns, and models that are trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from arena import GenerateTask, Pupil, Scorer, ScoreTask, Talker, asked_of, pairing, session, stored

from harness import devices, runner, timing
from harness.api.errors import HarnessError, UsageError
from harness.api.types import Example, Score
from harness.journal import JOURNAL, RESULT
from harness.runner import run_pairing
from harness.session import Shelf

pytestmark = pytest.mark.usefixtures("quick_disk")


def test_the_warm_up_is_one_short_call_whose_time_and_answer_are_kept_apart(tmp_path):
    log = tmp_path / "log"
    finished = run_pairing(pairing(model=Scorer(log=log)), session(tmp_path, warm_up=True))
    assert len(asked_of(log)) == 81
    assert asked_of(log)[0] == "test 0|a" or asked_of(log)[0].startswith("again")
    assert finished.result.timings["warm_up_seconds"] > 0
    assert stored(finished) == stored(run_pairing(pairing(), session(tmp_path / "cold")))


def test_a_model_is_loaded_once_for_consecutive_cells_and_not_at_all_for_finished_ones(tmp_path):
    loads = []

    @dataclass(frozen=True)
    class Heavy(Scorer):
        def load(self, setting):
            loads.append(1)
            return self

    shelf = Shelf()
    for seed in (0, 1, 0):
        run_pairing(pairing(model=Heavy(), seed=seed), session(tmp_path), shelf)
    assert len(loads) == 1


def test_progress_tells_phase_count_and_metric(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.evaluation.REDRAW", 0.0)
    monkeypatch.setattr(timing, "clock", iter(np.arange(0, 1e6, 100.0)).__next__)
    seen = []
    run_pairing(pairing(), session(tmp_path, progress=seen.append))
    assert [seen[0].phase, seen[-1].phase] == ["load", "done"]
    counts = [progress.done for progress in seen]
    assert counts == sorted(counts)
    assert seen[-1].done == seen[-1].total == 40
    running = [progress for progress in seen if progress.phase == "run"]
    assert running
    assert all(progress.metric == "nats" and progress.value < 0 for progress in running)


def test_the_time_that_is_left_goes_by_answers_alone_not_by_training(tmp_path, monkeypatch):
    now = [0.0]

    def tick():
        now[0] += 1.0
        return now[0]

    class Slow(Pupil):
        def fit(self, *streams, **given):
            now[0] += 1e6
            return super().fit(*streams, **given)

    seen = []
    monkeypatch.setattr("harness.evaluation.REDRAW", 0.0)
    monkeypatch.setattr(timing, "clock", tick)
    run_pairing(pairing(model=Slow(), learns=True), session(tmp_path, progress=seen.append))
    left = [progress.remaining for progress in seen if progress.phase == "run"]
    assert left
    assert max(left) < 1e5


def test_a_refused_cell_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "refusal", lambda cell: "it makes no sense.")
    [outcome] = runner.run_all([pairing().cell], session(tmp_path))
    assert isinstance(outcome.error, UsageError)
    assert list(tmp_path.iterdir()) == []


def test_one_broken_cell_does_not_stop_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "refusal", lambda cell: None)
    broken = type("Broken", (Scorer,), {"load": lambda self, setting: 1 / 0})()
    made = iter([pairing(model=broken), pairing()])
    monkeypatch.setattr(runner, "introduce", lambda cell: next(made))
    first, second = runner.run_all([pairing().cell] * 2, session(tmp_path))
    assert "loading arena/model failed: ZeroDivisionError" in str(first.error)
    assert second.finished.result.examples == 40


class Unprepared:
    """A decoder whose draft cannot be loaded."""

    def prepare(self, setting, target):
        raise ZeroDivisionError

    def fingerprint(self, setting):
        return {}

    def decode(self, lm, prompts, *, seeds, meter):
        return []


class TakingTurns:
    """Three decoders for one talker that writes down who was asked what; one of them may be broken."""

    def __init__(self, monkeypatch, broken: str = "") -> None:
        self.said: list[str] = []
        said = self.said

        class Speaker(Talker):
            def generate(self, requests, *, decoder, seeds, meter):
                said.extend(f"{decoder} {request.source}" for request in requests)
                with meter.span("decode"):
                    meter.count("draft_calls", 2)
                return super().generate(requests, decoder=decoder, seeds=seeds, meter=meter)

        speaker = Speaker()

        def introduce(cell):
            decoder = Unprepared() if cell.decoder == broken else cell.decoder
            return replace(pairing(GenerateTask(), speaker, decoder), cell=cell, decoder_spec=cell.decoder)

        monkeypatch.setattr(runner, "refusal", lambda cell: None)
        monkeypatch.setattr(runner, "introduce", introduce)
        self.cells = [replace(pairing(GenerateTask(), speaker).cell, decoder=name) for name in "ABC"]

    def run(self, path, **changes):
        together = session(path, interleave=True, batch_requests=1, **changes)
        return list(runner.run_all(self.cells, together))


def test_interleaved_decoders_take_turns_and_the_one_who_begins_moves_on(tmp_path, monkeypatch):
    turns = TakingTurns(monkeypatch)
    outcomes = turns.run(tmp_path)
    expected = ["A", "B", "C", "B", "C", "A", "C", "A", "B"]
    assert turns.said == [f"{name} start{place // 3}" for place, name in enumerate(expected)]
    found = [outcome.finished.result for outcome in outcomes]
    assert [result.decoder for result in found] == ["A", "B", "C"]
    assert len({result.timings["company"] for result in found}) == 1
    assert found[0].timings["company"]
    alone = TakingTurns(monkeypatch)
    plain = list(runner.run_all(alone.cells, session(tmp_path / "alone")))
    assert alone.said[:3] == ["A start0", "A start1", "A start2"]
    for one, other in zip(outcomes, plain, strict=True):
        assert stored(one.finished) == stored(other.finished)
        assert other.finished.result.timings["company"] == ""


def test_what_each_example_took_alone_is_kept_with_the_result(tmp_path, monkeypatch):
    (first, *_) = TakingTurns(monkeypatch).run(tmp_path)
    spent = timing.from_columns(first.finished.result.timings)
    assert spent["draft_calls"] == [2.0, 2.0, 2.0]
    # the talker says nothing of its steps
    assert spent["steps"] == spent["emitted"] == [0.0, 0.0, 0.0]
    assert all(seconds >= decode > 0 for seconds, decode in zip(spent["seconds"], spent["decode"], strict=True))
    assert sum(spent["seconds"]) == pytest.approx(first.finished.result.timings["model_seconds"], rel=1e-3)


def test_a_decoder_that_breaks_leaves_the_turns_of_the_others_alone(tmp_path, monkeypatch):
    first, second, third = TakingTurns(monkeypatch, broken="B").run(tmp_path)
    assert "ZeroDivisionError" in str(second.error)
    assert [outcome.finished.result.examples for outcome in (first, third)] == [3, 3]


def test_runs_that_took_turns_resume_and_a_newcomer_is_not_paired_with_them(tmp_path, monkeypatch):
    turns = TakingTurns(monkeypatch)
    turns.cells, late = turns.cells[:2], turns.cells[2]
    first = turns.run(tmp_path)
    turns.cells.append(late)
    told = []
    again = turns.run(tmp_path, announce=told.append)
    assert [outcome.finished.reused for outcome in again] == [True, True, False]
    assert any("not paired" in line for line in told)
    company = [outcome.finished.result.timings["company"] for outcome in (*first, *again)]
    assert company[0] == company[1] == company[2] == company[3] != company[4]


def test_cuda_is_refused_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_cuda_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device"):
        run_pairing(pairing(device="cuda"), session(tmp_path))


def test_a_decoder_that_brings_models_of_its_own_is_prepared_once_and_signed(tmp_path):
    @dataclass(frozen=True)
    class Drafting:
        draft: str = "d1"
        prepared: list[Any] = field(default_factory=list)

        def decode(self, lm, prompts, *, seeds, meter):
            raise NotImplementedError

        def prepare(self, setting, target):
            self.prepared.append(target)
            return "ready"

        def fingerprint(self, setting):
            return {"draft": self.draft}

    used = []

    @dataclass(frozen=True)
    class Listener(Talker):
        def generate(self, requests, *, decoder, seeds, meter):
            used.append(decoder)
            return super().generate(requests, decoder=decoder, seeds=seeds, meter=meter)

    first, second = Drafting(), Drafting(draft="d2")
    one = run_pairing(pairing(GenerateTask(), Listener(), first), session(tmp_path))
    two = run_pairing(pairing(GenerateTask(), Listener(), second), session(tmp_path))
    assert len(first.prepared) == len(second.prepared) == 1
    assert set(used) == {"ready"}
    assert one.folder != two.folder


class TestLearners:
    """Models that are trained on the task's own training split."""

    def test_a_learner_sees_the_training_split_and_never_the_test_split(self, tmp_path):
        pupil = Pupil()
        result = run_pairing(pairing(model=pupil, learns=True), session(tmp_path)).result
        assert pupil.seen == [f"train-{index}" for index in range(40)]
        assert result.examples == 40
        assert result.timings["fit_seconds"] > 0
        assert result.notes == ("40 of 40 test questions are also asked in training",) or result.notes == ()

    def test_a_task_that_leaks_a_test_example_into_training_is_an_error(self, tmp_path):
        with pytest.raises(HarnessError, match="the train split holds the test example 'test-0'"):
            run_pairing(pairing(ScoreTask(leak=True, size=1), Pupil(), learns=True), session(tmp_path))

    def test_questions_that_are_also_asked_in_training_are_noted(self, tmp_path):
        @dataclass(frozen=True)
        class Overlapping(ScoreTask):
            def examples(self, split, seed, sources):
                for index in range(4):
                    text = "shared" if index < 2 else split
                    yield Example(f"{split}-{index}", (Score(text, f"{index}"),))

        result = run_pairing(pairing(Overlapping(), Pupil(), learns=True), session(tmp_path)).result
        assert result.notes == ("2 of 4 test questions are also asked in training",)

    def test_testing_on_the_training_split_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="trained on the split 'train'"):
            run_pairing(pairing(model=Pupil(), learns=True, split="train"), session(tmp_path))

    def test_a_finished_fit_is_not_repeated_when_the_evaluation_is_resumed(self, tmp_path):
        pupil = Pupil()
        whole = run_pairing(pairing(model=pupil, learns=True), session(tmp_path))
        before = stored(whole)
        lines = (whole.folder / JOURNAL).read_bytes().splitlines(keepends=True)
        (whole.folder / JOURNAL).write_bytes(b"".join(lines[:10]))
        (whole.folder / RESULT).unlink()
        count = len(pupil.seen)
        assert stored(run_pairing(pairing(model=pupil, learns=True), session(tmp_path))) == before
        assert len(pupil.seen) == count

    def test_fresh_fits_again(self, tmp_path):
        pupil = Pupil()
        for fresh in (False, True):
            run_pairing(pairing(model=pupil, learns=True), session(tmp_path, fresh=fresh))
        assert len(pupil.seen) == 80
