"""Everything that could change a number changes the digest, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from harness import signature as signatures
from harness.api.types import Budget, Example, Forecast, Generate, Label, Score, Turn
from harness.pairing import file_name, folder_of

INGREDIENTS = {
    "task": "recall/noun_list",
    "task_version": 1,
    "data": "sha",
    "metrics": {"bleu": "bleu|v1"},
    "split": "test",
    "limit": None,
    "seed": 0,
    "model": "lms/ngram",
    "weights": {"weights": "w", "tokenizer": "t"},
    "decoder": None,
    "decoder_weights": {},
    "device": "cpu",
    "dtype": "auto",
    "budget": None,
    "training_data": "none",
    "code": {"task": "1"},
    "versions": {},
}
CHANGES = {
    "task": "recall/noun_list:length=3",
    "task_version": 2,
    "data": "other",
    "metrics": {"bleu": "bleu|v2"},
    "split": "validation",
    "limit": 5,
    "seed": 1,
    "model": "lms/ngram:order=2",
    "weights": {"weights": "w2", "tokenizer": "t"},
    "decoder": "decoders/greedy",
    "decoder_weights": {"draft": "d"},
    "device": "cuda",
    "dtype": "float32",
    "budget": Budget(steps=1),
    "training_data": "sha",
    "code": {"task": "2"},
    "versions": {"model lms/ngram": 2},
}


def digest(**changes) -> str:
    return signatures.digest(signatures.build(**(INGREDIENTS | changes)))


def test_equal_ingredients_give_equal_digests_in_any_order():
    turned = {"tokenizer": "t", "weights": "w"}
    assert digest() == digest(weights=turned)


@pytest.mark.parametrize("name", sorted(INGREDIENTS))
def test_every_ingredient_changes_the_digest(name):
    assert digest(**{name: CHANGES[name]}) != digest()


def test_no_two_changes_give_the_same_digest():
    assert len({digest(**{name: change}) for name, change in CHANGES.items()}) == len(CHANGES)


@pytest.mark.parametrize("part", ["harness_version", "versions"])
def test_the_versions_of_the_harness_and_of_its_libraries_count(part, monkeypatch):
    before = digest()
    monkeypatch.setattr(signatures.environment, part, lambda *_: {"numpy": "0"} if part == "versions" else "9")
    assert digest() != before


def test_the_request_schema_and_the_accelerator_count(monkeypatch):
    before = digest()
    monkeypatch.setattr(signatures, "REQUEST_SCHEMA", 2)
    after = digest()
    monkeypatch.setattr(signatures.devices, "name", lambda device: "H100")
    assert len({before, after, digest()}) == 3


def test_what_cannot_be_identified_is_named():
    signature = signatures.build(**(INGREDIENTS | {"data": " ", "weights": {"weights": "unknown", "tokenizer": "t"}}))
    assert signatures.unknown_parts(signature) == ["weights.weights", "data"]
    assert signatures.unknown_parts(signatures.build(**INGREDIENTS)) == []


def test_a_request_seed_depends_on_run_example_and_place_alone():
    seeds = {signatures.request_seed(run, name, place) for run in (0, 1) for name in ("a", "b") for place in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert signatures.request_seed(0, "passkey-3", 1) == 6317220119182961073
    assert signatures.request_seed(0, "\ud800", 0) >= 0


def test_what_is_asked_differs_with_every_field():
    requests = [
        (Score("ab", "c"),),
        (Score("a", "bc"),),
        (Score("ab", ""), Score("c", "")),
        (Generate("abc", 3),),
        (Generate("abc", 4),),
        (Generate("abc", 3, stop=("\n",)),),
        (Generate((Turn("user", "abc"),), 3),),
        (Label(np.array([1, 2]), 2),),
        (Label(np.array([1.0, 2.0]), 2),),
        (Label(np.array([[1, 2]]), 2),),
        (Forecast(np.zeros((2, 1)), 3),),
        (Forecast(np.zeros((1, 2)), 3),),
        (Generate("\ud800", 3),),
    ]
    assert len({signatures.asked(Example("x", asked)) for asked in requests}) == len(requests)


def test_a_spec_becomes_a_file_name_that_every_system_takes():
    assert file_name("recall/noun_list:length=3,condition=repeat") == "recall-noun_list@length=3,condition=repeat"
    assert file_name("../../etc/passwd") == "-..-etc-passwd"
    assert file_name("lms/hf:path=(/a b/ü:*?)") == "lms-hf@path=_-a_b-_@___"
    assert len(file_name("x" * 500)) == 100
    assert file_name("") == "_"


def test_a_run_lies_below_task_model_decoder_and_digest(tmp_path):
    signature = signatures.build(**(INGREDIENTS | {"decoder": "decoders/greedy"}))
    folder = folder_of(tmp_path, signature)
    assert folder.relative_to(tmp_path).parts == (
        "recall-noun_list",
        "lms-ngram+decoders-greedy",
        signatures.digest(signature),
    )
