"""Needles, chains and frequent words: what a prompt holds, how long it is, and how long is still effective."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.types import Example, Generate, Generated
from harness.sources import DataSources
from harness.tasks.long_context._passkey_text import FILLER
from harness.tasks.long_context._values_found import EffectiveLength, ValuesFound

NAMES = ("needle", "variable_tracking", "common_words")


def drawn(spec: str, sources: DataSources, split: str = "test", seed: int = 0) -> list[Example]:
    return list(registry.create("task", f"long_context/{spec}").examples(split, seed, sources))


def text(example: Example) -> str:
    request = example.requests[0]
    assert isinstance(request, Generate)
    return str(request.source)


def answered(said: str, *values: str) -> float:
    example = Example("0", (Generate("", 1),), list(values), {"length": "8"})
    return ValuesFound().value(example, [Generated(said)])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [400, 1000])
def test_a_prompt_has_the_words_asked_for_to_within_a_sentence(name: str, length: int, no_data: DataSources) -> None:
    slack = max(len(sentence.split()) for sentence in FILLER)
    for item in drawn(f"{name}:lengths={length},samples=5", no_data):
        assert 0 <= length - len(text(item).split()) < slack


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_the_place_in_the_grid_and_lengths_take_turns(name: str, no_data: DataSources) -> None:
    found = [item.id for item in drawn(f"{name}:lengths=400+500,samples=2", no_data)]
    assert found == ["test-400-0", "test-500-0", "test-400-1", "test-500-1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_does_not_depend_on_the_rest_of_the_grid(name: str, no_data: DataSources) -> None:
    alone = drawn(f"{name}:lengths=500,samples=1", no_data)
    assert alone[0] in drawn(f"{name}:lengths=400+500,samples=3", no_data)


@pytest.mark.parametrize("name", NAMES)
def test_a_length_without_room_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no room"):
        registry.create("task", f"long_context/{name}:lengths=40")
    with pytest.raises(UsageError, match="each once"):
        registry.create("task", f"long_context/{name}:lengths=400+400")


def test_every_needle_stands_in_the_text_and_distractors_are_other_lockers(no_data: DataSources) -> None:
    for item in drawn("needle:lengths=400,needles=2,values=3,distractors=2,samples=5", no_data):
        notes, question = text(item).split("\n\n")[1:]
        found = re.findall(r"One of the numbers of the (\w+ \w+) locker is (\d{7})\.", notes)
        asked = [value for key, value in found if f"{key} locker" in question]
        assert len(found) == 12
        assert sorted(asked) == sorted(item.target)
        assert len({key for key, _ in found}) == 4


def test_following_the_assignments_gives_the_answer(no_data: DataSources) -> None:
    for item in drawn("variable_tracking:lengths=300,chains=3,hops=3,samples=5", no_data):
        held: dict[str, str] = {}
        for name, source in re.findall(r"VAR ([A-Z]{5}) = (?:VAR )?(\w+)\.", text(item)):
            # a variable is assigned before another one takes its value
            held[name] = held[source] if source.isalpha() else source
        wanted = re.search(r"hold the value (\d+)", text(item))
        assert wanted is not None
        assert len(held) == 12
        assert sorted(name for name, value in held.items() if value == wanted.group(1)) == sorted(item.target)


def test_the_common_words_are_the_ten_most_frequent(no_data: DataSources) -> None:
    for item in drawn("common_words:lengths=700,samples=5", no_data):
        counts = Counter(text(item).split("\n\n")[1].split())
        assert sorted(word for word, _ in counts.most_common(10)) == sorted(item.target)
        assert set(counts.values()) == {30, 3}


def test_values_are_found_as_whole_words_in_any_order() -> None:
    assert answered("It is 12, or AbC.", "abc", "12") == 1.0
    assert answered("3127 and abcd", "12", "abc") == 0.0
    assert answered("12", "12", "13") == 0.5
    assert answered("", "12") == 0.0


@pytest.mark.parametrize(
    ("shares", "expected"),
    [({100: 1.0, 200: 0.96, 400: 0.2}, 200.0), ({100: 0.95}, 0.0), ({100: 0.5, 200: 1.0}, 0.0), ({100: 1.0}, 100.0)],
)
def test_the_effective_length_ends_before_the_first_that_fails(shares: dict[int, float], expected: float) -> None:
    rows = np.array([[length, share] for length, share in shares.items() for _ in range(3)])
    assert EffectiveLength().reduce(rows) == expected
