"""Word completion: candidates keep the typed prefix, places say nothing, savings are counted in key presses."""

from __future__ import annotations

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.types import Example, Score, Scored
from harness.sources import DataSources
from harness.tasks.keyboard._suggestions import KeystrokesSaved, TopWords


def words(spec: str, sources: DataSources, split: str = "test") -> list[Example]:
    return list(registry.create("task", spec).examples(split, 0, sources))


def answers(*totals: float) -> tuple[Scored, ...]:
    return tuple(Scored((total,), ((0, 1),)) for total in totals)


def example(place: int, choices: int, word: str = "garden", typed: int = 2) -> Example:
    request = Score("In the", " garden")
    return Example("a", (request,) * choices, {"word": word, "typed": typed, "place": place})


@pytest.mark.parametrize("prefix", [1, 2, 3])
def test_candidates_begin_with_what_was_typed_and_hold_the_word_once(no_data: DataSources, prefix: int) -> None:
    items = words(f"completion:prefix={prefix}", no_data)
    assert len(items) > 20
    for item in items:
        choices = [request.continuation for request in item.requests if isinstance(request, Score)]
        start = item.target["word"][:prefix]
        assert all(choice.startswith(" " + start) and len(choice) > prefix + 1 for choice in choices)
        assert choices == sorted(set(choices))
        assert choices[item.target["place"]] == " " + item.target["word"]
        assert 2 <= len(choices) <= 16


def test_the_context_is_the_sentence_before_the_word_and_is_in_one_split(no_data: DataSources) -> None:
    contexts = {
        split: {item.requests[0].context for item in words("completion", no_data, split)}  # type: ignore[attr-defined]
        for split in ("train", "validation", "test")
    }
    assert not contexts["train"] & contexts["test"]
    assert not contexts["validation"] & (contexts["train"] | contexts["test"])
    assert all(context and not context.endswith(" ") for context in contexts["test"])


def test_the_word_must_be_among_the_shown_ones() -> None:
    likeliest, third, tied = answers(-9, -1, -5, -7), answers(-1, -3, -2, -4), answers(-1, -1, -1, -1)
    assert TopWords(1).value(example(1, 4), likeliest) == 1.0
    assert [TopWords(shown).value(example(1, 4), third) for shown in (1, 2, 3)] == [0.0, 0.0, 1.0]
    assert [TopWords(shown).value(example(1, 4), tied) for shown in (3, 4)] == [0.0, 1.0]


def test_an_answer_that_is_not_a_number_never_counts_for_the_word() -> None:
    assert TopWords(1).value(example(0, 2), answers(float("nan"), -1.0)) == 0.0
    assert TopWords(1).value(example(0, 2), answers(-1.0, float("nan"))) == 0.0


def test_savings_are_presses_less_the_tap() -> None:
    metric = KeystrokesSaved(3)
    hit, miss = (
        metric.measure(example(0, 4), answers(0, -1, -2, -3)),
        metric.measure(example(3, 4), answers(0, -1, -2, -3)),
    )
    assert hit.tolist() == [4.0, 7.0]
    assert miss.tolist() == [0.0, 7.0]
    assert metric.reduce(np.stack([hit, miss])) == pytest.approx(4 / 14)


@pytest.mark.parametrize("wrong", ["prefix=0", "candidates=1"])
def test_a_task_without_a_choice_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="completion"):
        registry.create("task", f"keyboard/completion:{wrong}")
