"""A run is computed once, resumed where it stood, and never depends on company or order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from arena import Bits, GenerateTask, Letters, Scorer, ScoreTask, Talker, asked_of, pairing, session, stored

from harness import results
from harness.api.errors import DataError, HarnessError
from harness.api.metrics import MeanMetric
from harness.api.types import Example, Failure, Generate, Generated, Scored
from harness.journal import RESULT, entries
from harness.runner import run_pairing

pytestmark = pytest.mark.usefixtures("quick_disk")


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
