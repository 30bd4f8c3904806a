"""A result comes back from its file as it went in, and a damaged one says what is wrong with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from arena import ScoreTask, pairing, session

from harness import rescoring, results
from harness.api.errors import DataError
from harness.journal import RESULT, entries
from harness.results import Samples, from_json, load, pair, to_json
from harness.runner import run_pairing


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run_pairing(pairing(ScoreTask(size=8)), session(tmp_path_factory.mktemp("runs")))


def test_a_result_comes_back_from_its_folder_and_from_its_file(finished):
    assert to_json(load(finished.folder)) == to_json(finished.result)
    assert to_json(load(finished.folder / RESULT)) == to_json(finished.result)


@pytest.mark.parametrize("key", ["digest", "signature", "metrics", "breakdown", "examples", "identity", "timings"])
def test_a_missing_key_is_named(finished, key):
    stored = to_json(finished.result)
    del stored[key]
    with pytest.raises(DataError, match=f"record.json: '{key}' should be a"):
        from_json(stored, "record.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 99}, "its schema is 99, this version reads 1"),
        ({"signature": {"task": "x"}}, "its signature lacks 'model'"),
        ({"metrics": {}}, "it holds no metric"),
        ({"metrics": {"bleu": {"value": 1}}}, "metric 'bleu' is incomplete"),
        ({"examples": 9}, "do not have one row for each of its 9 examples"),
        ({"samples": {"ids": []}}, "its samples are incomplete"),
        ({"breakdown": [{"tags": {}}]}, "a row of its breakdown is incomplete"),
    ],
)
def test_a_damaged_record_says_what_is_wrong(finished, change, said):
    with pytest.raises(DataError, match=said):
        from_json(to_json(finished.result) | change)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_file_that_is_no_result_is_refused(tmp_path, text):
    (tmp_path / RESULT).write_text(text)
    with pytest.raises(DataError):
        load(tmp_path)


def test_an_unfinished_run_has_no_result(tmp_path):
    with pytest.raises(DataError, match="An unfinished run has none yet"):
        load(tmp_path)


def samples(names: str, ids_kept: bool = True) -> Samples:
    values = np.array([[float(ord(name))] for name in names])
    return Samples(names, {"m": values}, clusters=(), ids=tuple(names) if ids_kept else ())


def test_results_over_the_same_examples_pair_row_by_row():
    left, right, clusters = pair(samples("abc", False), samples("abc", False), "m")
    np.testing.assert_array_equal(left, right)
    assert clusters == ["", "", ""]


def test_results_pair_on_the_examples_that_they_share():
    left, right, clusters = pair(samples("abcd"), samples("dxb"), "m")
    assert left[:, 0].tolist() == right[:, 0].tolist() == [ord("b"), ord("d")]
    assert len(clusters) == 2


@pytest.mark.parametrize(("left", "right", "metric"), [("ab", "cd", "m"), ("ab", "ab", "n")])
def test_results_that_cannot_be_paired_are_refused(left, right, metric):
    with pytest.raises(DataError):
        pair(samples(left), samples(right), metric)


def rescored(finished, task, code="s1", version=1):
    return rescoring.rescore_task(finished.folder, finished.result, task, version, code, None, print)


def test_rescoring_with_the_same_metrics_changes_nothing(finished):
    before = (finished.folder / RESULT).read_bytes()
    _, folder = rescored(finished, ScoreTask(size=8))
    assert folder.resolve() == finished.folder.resolve()
    assert (folder / RESULT).read_bytes() == before


def test_rescoring_with_other_metrics_makes_a_run_of_its_own_beside_the_old_one(finished):
    one_metric = ScoreTask(size=8, metrics=ScoreTask().metrics[1:])
    result, folder = rescored(finished, one_metric, code="s2")
    assert folder.parent.resolve() == finished.folder.parent.resolve()
    assert folder != finished.folder
    assert list(result.metrics) == ["letters"]
    assert result.metrics["letters"] == finished.result.metrics["letters"]
    assert [entry.id for _, entry in entries(folder)] == [f"test-{index}" for index in range(8)]
    assert to_json(load(folder)) == to_json(result)
    assert json.loads((finished.folder / RESULT).read_text())["digest"] == finished.result.digest


@pytest.mark.parametrize("change", [{"version": 2}, {"task": ScoreTask(size=8, version="2")}])
def test_rescoring_refuses_answers_to_another_task(finished, change):
    with pytest.raises(DataError, match="the model has to be asked again"):
        rescored(finished, **({"task": ScoreTask(size=8)} | change))


def test_rescoring_refuses_answers_to_other_questions(finished):
    class Reworded(ScoreTask):
        def examples(self, split, seed, sources):
            yield from super().examples(split, seed + 1, sources)

    with pytest.raises(DataError, match="answers another question for example 'test-0'"):
        rescored(finished, Reworded(size=8))


def test_rescoring_refuses_a_run_that_lacks_an_answer(finished):
    with pytest.raises(DataError, match="has no answer for example 'test-8'"):
        rescored(finished, ScoreTask(size=9))


def test_the_measured_keys_are_the_only_ones_dropped(finished):
    stored = to_json(finished.result)
    assert set(stored) - set(results.without_measured(stored)) == {"timings", "environment"}
