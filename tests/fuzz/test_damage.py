"""Is the damage itself what it says? Seeded, of every kind, and never done to the caller's own value."""

from __future__ import annotations

import copy
import json
from random import Random

from damage import damaged_bytes, damaged_json

CONFIG = {"model_type": "llama", "hidden_size": 16, "rope": {"type": "linear", "factor": 2.0}, "eos": [1, 2]}


def test_one_seed_gives_one_damage() -> None:
    first, again = ([damaged_bytes(b"some bytes", Random(seed)) for seed in range(50)] for _ in range(2))
    assert first == again
    texts = [[json.dumps(damaged_json(CONFIG, Random(seed))) for seed in range(50)] for _ in range(2)]
    assert texts[0] == texts[1]


def test_the_value_that_was_given_is_left_alone() -> None:
    before = copy.deepcopy(CONFIG)
    for seed in range(300):
        damaged_json(CONFIG, Random(seed))
    assert before == CONFIG


def test_nearly_every_damage_changes_something_and_all_of_it_can_be_written() -> None:
    changed = sum(json.dumps(damaged_json(CONFIG, Random(seed))) != json.dumps(CONFIG) for seed in range(1000))
    assert changed > 950
    assert sum(damaged_bytes(b"0123456789" * 20, Random(seed)) != b"0123456789" * 20 for seed in range(1000)) > 950


def test_every_kind_of_damage_is_dealt() -> None:
    texts = [json.dumps(damaged_json(CONFIG, Random(seed))) for seed in range(1000)]
    marks = ("NaN", "Infinity", "\\ud800", "1000000000000000000000000000000", "true", "null", '"16"', "[[[")
    assert {mark for mark in marks if not any(mark in text for text in texts)} == set()
    assert sum('"model_type": "llama"' not in text for text in texts) > 50
    damaged = [damaged_bytes(bytes(range(200)), Random(seed)) for seed in range(1000)]
    assert sum(len(data) < 200 for data in damaged) > 100
    assert sum(len(data) > 50_000 for data in damaged) > 10


def test_what_is_empty_or_bare_can_be_damaged_too() -> None:
    for seed in range(200):
        damaged_bytes(b"", Random(seed))
        for value in ({}, [], None, 3, "text"):
            json.dumps(damaged_json(value, Random(seed)))
