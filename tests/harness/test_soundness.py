"""A result that contradicts itself, or whose parts are of another kind, is refused by name."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import results, soundness
from harness.api.errors import DataError
from harness.boards import records

sys.path.append(str(Path(__file__).parent / "boards"))
from shelves import answers, record, sealed

GOOD = json.loads(records.to_text(sealed(record(answers(7, 3)))))
NAME = "key_found"


def damaged(*path: str | int, to: Any) -> dict[str, Any]:
    found = copy.deepcopy(GOOD)
    at = found
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return found


def test_a_sound_record_is_read_as_it_is():
    assert results.from_json(GOOD).metrics[NAME].value == 0.7


@pytest.mark.parametrize(
    ("path", "to", "said"),
    [
        # the kinds of what readers take for granted
        (("signature", "seed"), [1], "its signature has the seed '[1]'; it should be a whole number"),
        (("signature", "seed"), True, "its signature has the seed 'True'"),
        (("signature", "task"), 5, "its signature has the task '5'; it should be a name"),
        (("signature", "model"), None, "its signature has the model 'None'"),
        (("signature", "model"), "m" * 10_001, "it should be a name of at most 10,000 letters"),
        (("signature", "model"), "lms/http:url=http://me:hunter2@host", "its model holds a user name or password"),
        (("signature", "limit"), "x", "its signature has the limit 'x'"),
        (("signature", "budget"), [1], "its signature has the budget"),
        (("signature", "metrics"), None, "its signature has the metrics"),
        (("timings", "wall_seconds"), "x", "its timings has the wall_seconds 'x'"),
        (("timings", "examples_per_second"), -1.0, "its timings has the examples_per_second '-1.0'"),
        (("timings", "latency_seconds"), 3, "its timings has the latency_seconds '3'"),
        (("timings", "by_example"), {"seconds": "1 2 x"}, "its timings has the by_example"),
        (("timings", "by_example"), {"seconds": "1 2"}, "its timings by example are of [2] examples, not 10"),
        (("environment", "load"), "x", "its environment has the load 'x'"),
        (("environment", "cpu"), 7, "its environment has the cpu '7'"),
        (("identity",), {"$float": "x"}, "in 'identity', a stored number or array cannot be read"),
        (("identity",), {"$float": "nan"}, "'identity' should be an object of facts, found float"),
        (("identity", "a"), {"$array": "", "dtype": "O", "shape": [0]}, "arrays of type 'O' are not read"),
        (("identity", "parameters"), "many", "its identity has the parameters 'many'"),
        (("failures",), [1], "a kind of its failures is incomplete"),
        (("failures",), [{"message": "m", "count": "1", "example": "e"}], "a kind of its failures is incomplete"),
        (("metrics", NAME, "higher_is_better"), "false", "'false' is neither true nor false"),
        (("metrics", NAME, "n"), 10.0, "10.0 is no count"),
        (("examples",), True, "'examples' should be a int, found bool"),
        # what contradicts the rest
        (("digest",), "a" * 16, "its digest is 'aaaaaaaaaaaaaaaa', but its signature's is "),
        (("signature", "model"), "lms/another", "but its signature's is "),
        (("metrics", NAME, "value"), 0.0, "key_found is 0, and its interval is [0.7, 0.7]"),
        (("metrics", NAME, "low"), 0.9, "key_found is 0.7, and its interval is [0.9, 0.7]"),
        (("metrics", NAME, "n"), 9, "key_found counts 9 examples; its samples hold 10, the run 10"),
        (("failed",), 11, "of 10 examples 11 failed"),
        (("failures",), [{"message": "m", "count": 2, "example": "e"}], "0 failed, and its kinds of failures count 2"),
        (("breakdown",), [{"tags": {"a": "b"}, "examples": 1, "metrics": {}}], "its row of {'a': 'b'} lacks key_found"),
    ],
)
def test_each_contradiction_is_told_with_what_was_found(path, to, said):
    with pytest.raises(DataError) as told:
        results.from_json(damaged(*path, to=to), "r.json")
    assert said in str(told.value)
    assert str(told.value).startswith("r.json")


def test_a_value_beyond_its_scale_is_told():
    found = damaged("metrics", NAME, to={**GOOD["metrics"][NAME], "value": 1.5, "low": 1.4, "high": 1.6})
    with pytest.raises(DataError, match="key_found is 1.5, and its scale is 0 to 1"):
        results.from_json(found)


def test_a_value_that_its_bootstrap_just_missed_is_sound():
    # by up to the interval's own width
    near = {**GOOD["metrics"][NAME], "low": 0.5, "high": 0.65}
    assert results.from_json(damaged("metrics", NAME, to=near)).metrics[NAME].high == 0.65


def test_old_signatures_without_newer_parts_are_sound():
    soundness.check_signature({"task": "a/b", "model": "c/d", "seed": 0, "split": "test"}, "r.json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 70 + "1" + "}" * 70, '{"a": 1e400000}', '{"a": NaN}',
                                  '{"a": ' + "9" * 400 + "}", "9" * 5000])  # fmt: skip
def test_json_that_no_reader_could_bear_is_told(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(DataError, match="is not a result: "):
        results.load(tmp_path)


def test_statistics_that_unfold_to_more_than_their_shape_are_refused_at_once():
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(bytes(2**28), 9)).decode()
    with pytest.raises(DataError, match="more than their shape holds"):
        results.from_json(damaged("samples", "statistics", NAME, to={"zlib": bomb, "shape": [10, 1]}))


def test_a_value_that_its_own_samples_do_not_give_is_told(tmp_path):
    file = Path(__file__).parents[2] / "leaderboards" / "records"
    file = next(found for found in sorted(file.rglob("*.json")) if "keyboard-correction" in str(found))
    stored = json.loads(file.read_text())
    name = next(iter(stored["metrics"]))
    metric = stored["metrics"][name]
    # within its interval, so that nothing but the samples can tell
    was = metric["value"]
    metric["value"] = (was + metric["high"]) / 2
    (tmp_path / "r.json").write_text(json.dumps(stored))
    with pytest.raises(DataError, match=f"its {name} is {metric['value']:.6g}, but its samples give {was:.6g}"):
        records.load(tmp_path / "r.json")
