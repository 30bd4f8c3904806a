"""Passkeys: the grid, the place of the key, the length, what counts as an answer."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.types import Example, Generate, Generated, Score, Scored
from harness.sources import DataSources
from harness.tasks.long_context._key_found import KeyFound
from harness.tasks.long_context._passkey_text import FILLER, minimum_length


def prompts(spec: str, sources: DataSources, split: str = "test", seed: int = 0) -> list[Example]:
    return list(registry.create("task", spec).examples(split, seed, sources))


def text(example: Example) -> str:
    request = example.requests[0]
    return str(request.source if isinstance(request, Generate) else request.context)  # type: ignore[attr-defined]


def test_every_cell_of_the_grid_has_its_samples(no_data: DataSources) -> None:
    cells = Counter((item.tags["length"], item.tags["depth"]) for item in prompts("passkey:samples=3", no_data))
    assert cells == {(str(length), str(depth)): 3 for length in (128, 256, 512) for depth in (0, 25, 50, 75, 100)}


@pytest.mark.parametrize("length", [90, 128, 1000])
def test_a_prompt_has_the_words_asked_for_to_within_a_sentence(no_data: DataSources, length: int) -> None:
    for item in prompts(f"passkey:lengths={length},samples=4", no_data):
        assert 0 <= length - len(text(item).split()) < max(len(sentence.split()) for sentence in FILLER)


def test_the_key_stands_at_its_depth_and_is_the_only_number(no_data: DataSources) -> None:
    for item in prompts("passkey:lengths=600,depths=0+20+50+100", no_data):
        assert set(re.findall(r"\d+", text(item))) == {item.target}
        notes = text(item).split("\n\n")[1]
        before = notes.index("The pass key is")
        share = before / (len(notes) - len("The pass key is 12345. Keep it in mind: 12345 is the pass key."))
        assert share == pytest.approx(int(item.tags["depth"]) / 100, abs=0.05)


def test_a_cell_does_not_depend_on_the_rest_of_the_grid(no_data: DataSources) -> None:
    alone = prompts("passkey:lengths=256,depths=50,samples=1", no_data)
    assert alone[0] in prompts("passkey", no_data)


def test_splits_share_no_key(no_data: DataSources) -> None:
    keys = [{item.target for item in prompts("passkey", no_data, split)} for split in ("train", "validation", "test")]
    assert not keys[0] & keys[1] | keys[0] & keys[2] | keys[1] & keys[2]


def test_scoring_asks_for_the_key_first_and_for_keys_that_are_not_there(no_data: DataSources) -> None:
    for item in prompts("passkey:by=score,distractors=4,samples=1", no_data):
        keys = [request.continuation.strip(" .") for request in item.requests if isinstance(request, Score)]
        assert keys[0] == item.target
        assert len(set(keys)) == 5
        assert not any(key in text(item) for key in keys[1:])


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (" 12345.", 1.0),
        ("12345", 1.0),
        ("the key: 12345, I think, not 54321", 1.0),
        ("54321 or 12345", 0.0),
        ("", 0.0),
        (" 1234 5", 0.0),
        ("3 and 12345", 1.0),
        (" 123456", 0.0),
        ("١٢٣٤٥", 0.0),
        ("\x00\ud800", 0.0),
    ],
)
def test_the_first_number_of_five_digits_counts(answer: str, found: float) -> None:
    assert KeyFound().value(Example("a", (Generate("", 1),), "12345"), (Generated(answer),)) == found


def test_a_tie_between_scored_keys_is_not_found() -> None:
    item = Example("a", (Score("", "1"), Score("", "2")), "1")
    same, less = Scored((-1.0,), ((0, 1),)), Scored((-2.0,), ((0, 1),))
    assert KeyFound().value(item, (same, same)) == 0.0
    assert KeyFound().value(item, (same, less)) == 1.0


@pytest.mark.parametrize(
    "wrong", ["lengths=10", "depths=101", "depths=0+0", "samples=0", "distractors=0", "lengths=", "depths=-5"]
)
def test_grids_that_make_no_sense_are_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="passkey"):
        registry.create("task", f"long_context/passkey:{wrong}")


def test_the_shortest_length_has_filler(no_data: DataSources) -> None:
    assert prompts(f"passkey:lengths={minimum_length()}", no_data)


def test_an_unknown_split_is_refused(no_data: DataSources) -> None:
    with pytest.raises(UsageError, match="train, validation, test"):
        prompts("passkey", no_data, "dev")
