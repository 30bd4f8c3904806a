"""A run is computed once, resumed where it stood, and never depends on company or order."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from arena import Bits, Letters, Pupil, Scorer, ScoreTask, Talker, pairing, session

from harness import devices, results, runner, timing
from harness.api.errors import DataError, HarnessError, UsageError
from harness.api.metrics import MeanMetric
from harness.api.types import Example, Failure, Generate, Generated, Score, Scored
from harness.journal import JOURNAL, MANIFEST, RESULT, entries
from harness.results import without_measured
from harness.runner import run_pairing
from harness.session import Shelf


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """No waiting for the disk: what these tests read was written by a process that is still alive."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def stored(finished) -> str:
    """The part of result.json that must not change, as text."""
    found = json.loads((finished.folder / RESULT).read_text())
    return json.dumps(without_measured(found))


def asked_of(log) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


@dataclass(frozen=True)
class GenerateTask:
    """Three prompts; with `turns`, each answer leads to a next question."""

    turns: int = 1
    metrics: tuple[Any, ...] = ("exact_match",)
    door: str = "generate"

    def examples(self, split, seed, sources):
        for index in range(3):
            yield Example(f"g{index}", (Generate(f"start{index}", 5),), target="never")

    def data_digest(self, split, sources):
        return f"generated:{self.turns}"


@dataclass(frozen=True)
class Dialogue(GenerateTask):
    turns: int = 3

    def follow_up(self, example, responses):
        if len(responses) == self.turns:
            return None
        return Generate(f"then {responses[-1].text}", 5)


def test_a_run_gives_the_numbers_that_its_responses_imply(tmp_path):
    finished = run_pairing(pairing(ScoreTask(size=2)), session(tmp_path))
    # "a" (97 % 7 = 6) once and once more, then eight "b" (98 % 7 = 0) and every other of them
    expected = [-(0.61 + 0.61), -(8 * 0.01 + 4 * 0.01)]
    result = finished.result
    np.testing.assert_allclose(result.samples.statistics["nats"][:, 0], expected)
    assert result.metrics["nats"].value == pytest.approx(np.mean(expected))
    assert result.metrics["letters"].value == (1 + 1 + 8 + 4) / 4
    assert (result.examples, result.failed, result.headline) == (2, 0, "nats")
    assert result.ran == {"backend": "plain"}


def test_every_metric_has_an_interval_around_its_value(tmp_path):
    for found in run_pairing(pairing(), session(tmp_path)).result.metrics.values():
        assert found.low < found.value < found.high
        assert found.n == 40


def test_the_breakdown_has_every_tag_and_all_tags_together(tmp_path):
    result = run_pairing(pairing(ScoreTask(size=12)), session(tmp_path)).result
    parts = {tuple(part.tags.items()): part for part in result.breakdown}
    assert len(parts) == 2 + 3 + 6
    even = parts[("parity", "even"),]
    assert even.examples == even.metrics["nats"].n == 6
    assert even.metrics["nats"].value == pytest.approx(result.samples.statistics["nats"][::2].mean())
    assert np.isnan(parts[("parity", "even"), ("third", "1")].metrics["nats"].low)


def test_a_finished_run_is_reused_without_asking_again(tmp_path):
    log = tmp_path / "log"
    first = run_pairing(pairing(model=Scorer(log=log)), session(tmp_path))
    count = len(asked_of(log))
    second = run_pairing(pairing(model=Scorer(log=log)), session(tmp_path))
    assert (first.reused, second.reused) == (False, True)
    assert len(asked_of(log)) == count == 80
    assert results.to_json(second.result) == results.to_json(first.result)


def test_fresh_computes_again_and_comes_to_the_same_bytes(tmp_path):
    log = tmp_path / "log"
    first = stored(run_pairing(pairing(model=Scorer(log=log)), session(tmp_path)))
    again = run_pairing(pairing(model=Scorer(log=log)), session(tmp_path, fresh=True))
    assert not again.reused
    assert stored(again) == first
    assert len(asked_of(log)) == 160


@pytest.mark.parametrize(
    "changed",
    [
        {"model": Scorer(weights="w2")},
        {"task": ScoreTask(version="2")},
        {"seed": 1},
        {"limit": 39},
        {"dtype": "float32"},
        {"task": ScoreTask(metrics=(Bits(),))},
    ],
)
def test_stored_responses_are_never_served_for_another_signature(tmp_path, changed):
    first = run_pairing(pairing(), session(tmp_path))
    log = tmp_path / "log"
    model = replace(changed.pop("model", Scorer()), log=log)
    second = run_pairing(pairing(changed.pop("task", None), model, **changed), session(tmp_path))
    assert second.folder != first.folder
    assert len(asked_of(log)) >= 78


@pytest.mark.parametrize("tokens", [1, 7, 60, 10_000])
@pytest.mark.parametrize("requests", [1, 3, 500])
def test_the_company_of_a_batch_changes_no_byte_of_the_result(tmp_path, tokens, requests):
    alone = run_pairing(pairing(), session(tmp_path / "a"))
    other = run_pairing(pairing(), session(tmp_path / "b", batch_tokens=tokens, batch_requests=requests))
    assert stored(other) == stored(alone)


def test_running_out_of_memory_changes_no_byte_of_the_result(tmp_path):
    def hook(requests: Sequence[Any]) -> None:
        if len(requests) > 2:
            raise RuntimeError("CUDA out of memory")

    calm = run_pairing(pairing(), session(tmp_path / "a"))
    tight = run_pairing(pairing(model=Scorer(hook=hook)), session(tmp_path / "b"))
    assert stored(tight) == stored(calm)
    assert tight.result.timings["counters"]["out_of_memory"] > 0


def test_a_request_that_breaks_the_model_is_counted_and_the_run_goes_on(tmp_path):
    def hook(requests: Sequence[Any]) -> None:
        if any(request.context == "test 5" for request in requests):
            raise IndexError("token 900 is out of range")

    result = run_pairing(pairing(model=Scorer(hook=hook)), session(tmp_path)).result
    assert (result.examples, result.failed, result.metrics["nats"].n) == (40, 1, 39)
    assert result.failures[0].count == 1
    assert result.failures[0].example == "test-5"
    assert result.failures[0].message.startswith("IndexError: token 900 is out of range (test_runner.py:")
    assert np.isnan(result.samples.statistics["letters"][5]).all()
    assert not np.isnan(result.samples.statistics["letters"][6]).any()


def test_a_model_that_answers_nothing_at_all_has_no_value_and_says_why(tmp_path):
    def hook(requests: Sequence[Any]) -> None:
        raise ValueError("broken")

    finished = run_pairing(pairing(ScoreTask(size=3), Scorer(hook=hook)), session(tmp_path))
    assert finished.result.all_failed
    assert np.isnan(finished.result.metrics["nats"].value)
    assert json.loads((finished.folder / RESULT).read_text())["metrics"]["nats"]["value"] is None
    assert results.load(finished.folder).failures[0].count == 3


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


def test_two_examples_with_one_id_are_an_error(tmp_path):
    with pytest.raises(DataError, match="two examples have the id 'test-0'"):
        run_pairing(pairing(ScoreTask(repeat_id=True)), session(tmp_path))


def test_two_examples_with_one_id_are_an_error_after_a_resume_too(tmp_path):
    for _ in range(2):
        with pytest.raises(DataError, match="two examples"):
            run_pairing(pairing(ScoreTask(repeat_id=True)), session(tmp_path, batch_requests=1, batch_tokens=1))


def test_a_split_without_examples_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no example in its split 'test'"):
        run_pairing(pairing(ScoreTask(size=0)), session(tmp_path))


def test_a_limit_takes_the_first_examples_of_the_stream(tmp_path):
    assert run_pairing(pairing(limit=3), session(tmp_path)).result.samples.ids == ("test-0", "test-1", "test-2")


def test_an_example_that_knocks_on_another_door_is_an_error(tmp_path):
    @dataclass(frozen=True)
    class Lost(ScoreTask):
        def examples(self, split, seed, sources):
            yield Example("x", (Generate("?", 1),))

    with pytest.raises(HarnessError, match="uses the doors \\['generate'\\], but the task's door is 'score'"):
        run_pairing(pairing(Lost()), session(tmp_path))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "gave 0 answers"),
        ([Scored((), ())] * 9, "gave 9 answers"),
        ([Generated("")] * 2, "Generated"),
        ([None] * 2, "NoneType"),
    ],
)
def test_a_model_that_breaks_the_contract_is_named(tmp_path, given, said):
    @dataclass(frozen=True)
    class Careless(Scorer):
        def score(self, requests, *, meter):
            return list(given)

    with pytest.raises(HarnessError, match=said):
        run_pairing(pairing(ScoreTask(size=1), Careless()), session(tmp_path))


@pytest.mark.parametrize("broken", ["load", "fingerprint", "size"])
def test_a_model_that_cannot_even_come_up_is_one_clear_line(tmp_path, broken):
    def explode(*_):
        raise OSError("no such thing")

    model = type("Broken", (Scorer,), {broken: explode})()
    with pytest.raises(HarnessError, match="arena/model failed: OSError: no such thing"):
        run_pairing(pairing(model=model), session(tmp_path))


def test_a_task_that_breaks_in_its_stream_is_one_clear_line(tmp_path):
    @dataclass(frozen=True)
    class Brittle(ScoreTask):
        def examples(self, split, seed, sources):
            yield from islice_of(super().examples(split, seed, sources), 5)
            raise KeyError("column")

    def islice_of(stream, count):
        return [next(stream) for _ in range(count)]

    with pytest.raises(HarnessError, match="task arena/task failed: KeyError: 'column'"):
        run_pairing(pairing(Brittle()), session(tmp_path))


def test_each_request_gets_its_own_seed_in_any_company(tmp_path):
    def texts(**changes):
        finished = run_pairing(pairing(GenerateTask(), Talker(), object()), session(**changes))
        return sorted((entry.id, entry.responses[0].text) for _, entry in entries(finished.folder))

    together = texts(out=tmp_path / "a")
    assert together == texts(out=tmp_path / "b", batch_requests=1)
    assert len({text.split()[1] for _, text in together}) == 3


def test_a_task_with_follow_ups_asks_until_it_is_content(tmp_path):
    finished = run_pairing(pairing(Dialogue(), Talker(), object()), session(tmp_path))
    found = [entry for _, entry in entries(finished.folder)]
    assert [len(entry.responses) for entry in found] == [3, 3, 3]
    first, second, third = found[0].responses
    assert second.text.startswith(f"then {first.text}")
    assert third.text.startswith(f"then {second.text}")
    assert finished.result.timings["door_calls"] == 3
    assert finished.result.timings["tokens"] == 9


def test_a_failure_ends_a_dialogue(tmp_path):
    @dataclass(frozen=True)
    class Mute(Talker):
        def generate(self, requests, *, decoder, seeds, meter):
            return [Failure("too long")] * len(requests)

    result = run_pairing(pairing(Dialogue(), Mute(), object()), session(tmp_path)).result
    assert (result.failed, result.timings["door_calls"]) == (3, 1)


def test_answers_outlive_a_metric_that_breaks_and_are_measured_once_it_is_mended(tmp_path):
    broken = {"now": True}

    @dataclass(frozen=True)
    class Fragile(MeanMetric):
        @property
        def name(self):
            return "fragile"

        def value(self, example, responses):
            if broken["now"] and example.id == "test-7":
                raise ZeroDivisionError("division by zero")
            return 1.0

    log = tmp_path / "log"
    subject = pairing(ScoreTask(metrics=(Fragile(), Letters())), Scorer(log=log))
    big = session(tmp_path, batch_tokens=10_000, batch_requests=500)
    with pytest.raises(HarnessError, match="metric fragile on example 'test-7' failed: ZeroDivisionError"):
        run_pairing(subject, big)
    assert len(asked_of(log)) == 80
    broken["now"] = False
    result = run_pairing(subject, big).result
    assert len(asked_of(log)) == 80
    assert result.metrics["fragile"].n == 40


def test_a_metric_whose_width_changes_is_named(tmp_path):
    @dataclass(frozen=True)
    class Uneven(Letters):
        def measure(self, example, responses):
            return np.ones(2 + (example.id == "test-3"))

    with pytest.raises(HarnessError, match="metric letters gave 3 statistics for example 'test-3', but 2"):
        run_pairing(pairing(ScoreTask(metrics=(Uneven(),))), session(tmp_path))


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
