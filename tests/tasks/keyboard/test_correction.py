"""Keyboard correction: the messages, the split, the error model's rates, the sources."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.types import Example, Generate, Generated
from harness.sources import DataSources
from harness.tasks.keyboard._sentences import SPLITS, clean, own_messages, split_of
from harness.tasks.keyboard._touch_errors import NEIGHBOURS, OPERATIONS, RATES, TouchErrors, apply, estimated, places

ONLY = {name: {other: float(other == name) for other in OPERATIONS} for name in OPERATIONS}


def pairs(spec: str, sources: DataSources, split: str = "test", seed: int = 0) -> list[Example]:
    return list(registry.create("task", spec).examples(split, seed, sources))


def noisy(example: Example) -> str:
    request = example.requests[0]
    assert isinstance(request, Generate)
    return str(request.source)


def test_there_are_500_different_messages_of_4_to_20_words() -> None:
    messages = own_messages()
    assert len(messages) >= 500
    assert len({message.lower() for message in messages}) == len(messages)
    assert all(4 <= len(message.split()) <= 20 and message.isascii() and message.isprintable() for message in messages)


def test_messages_do_not_repeat_a_template() -> None:
    starts = Counter(" ".join(message.split()[:3]) for message in own_messages())
    assert max(starts.values()) <= 5


def test_no_sentence_is_in_two_splits_at_any_seed(no_data: DataSources) -> None:
    parts = {(split, seed): {item.target for item in pairs("correction", no_data, split, seed)}
             for split in SPLITS for seed in (0, 1)}  # fmt: skip
    assert parts["train", 0] == parts["train", 1]
    assert not parts["train", 0] & parts["test", 1]
    assert not parts["validation", 0] & (parts["train", 0] | parts["test", 0])
    assert sum(len(parts[split, 0]) for split in SPLITS) == len(own_messages())


def test_the_shots_are_no_examples() -> None:
    from harness.tasks.keyboard.correction import SHOTS

    assert not {answer for _, answer in SHOTS} & set(own_messages())


def test_without_noise_the_source_is_the_target(no_data: DataSources) -> None:
    task = registry.create("task", "keyboard/correction:per_word=0")
    items = pairs("keyboard/correction:per_word=0", no_data)
    assert all(noisy(item) == item.target for item in items)
    scores = {}
    for name in task.metrics:
        metric = registry.create("metric", name)
        rows = np.stack([metric.measure(item, (Generated(noisy(item)),)) for item in items])
        scores[metric.name] = metric.reduce(rows)
    assert scores == {"cer": 0.0, "wer": 0.0, "word_accuracy": 1.0, "sequence_accuracy": 1.0}


def test_errors_differ_between_seeds_and_word_boundaries_stay(no_data: DataSources) -> None:
    first = {item.target: noisy(item) for item in pairs("correction", no_data, seed=0)}
    second = {item.target: noisy(item) for item in pairs("correction", no_data, seed=1)}
    assert sum(first[target] != second[target] for target in first) > len(first) / 2
    assert all(len(typed.split()) == len(target.split()) for target, typed in first.items())


def test_the_share_of_wrong_words_is_the_rate_within_three_deviations() -> None:
    model, rng = estimated(0.12), np.random.default_rng(0)
    words = " ".join(own_messages()).replace("'", "").split()
    typed = model.noisy(" ".join(words), rng).split()
    wrong = sum(left != right for left, right in zip(words, typed, strict=True))
    assert abs(wrong - 0.12 * len(words)) < 3 * np.sqrt(len(words) * 0.12 * 0.88)


def test_operations_have_the_stored_shares_within_three_deviations() -> None:
    stored = json.loads(RATES.read_text())
    model, rng = TouchErrors(1.0, stored["shares"], stored["first_letter"]), np.random.default_rng(1)
    typed = [model.noisy("abcdefgh", rng) for _ in range(4000)]
    kinds = {
        "insertion": sum(len(word) == 9 for word in typed),
        "deletion": sum(len(word) == 7 for word in typed),
        "transposition": sum(sorted(word) == list("abcdefgh") for word in typed),
    }
    kinds["substitution"] = 4000 - sum(kinds.values())
    for name, count in kinds.items():
        share = stored["shares"][name]
        assert abs(count - 4000 * share) < 3 * np.sqrt(4000 * share * (1 - share)), name


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_error_always_changes_the_word(operation: str) -> None:
    rng = np.random.default_rng(2)
    for word in ("I", "aa", "Ab", "hello", "xX"):
        for place in places(word, operation):
            typed = apply(word, operation, place, rng)
            assert typed not in ("", word)


def test_a_word_without_a_place_for_an_operation_suffers_another() -> None:
    shares = {"substitution": 0.25, "insertion": 0.0, "deletion": 0.5, "transposition": 0.25}
    typed = TouchErrors(1.0, shares, 0.03).noisy("I", np.random.default_rng(3))
    assert typed in {key.upper() for key in NEIGHBOURS["i"]}


def test_a_substituted_key_is_beside_the_right_one() -> None:
    rng = np.random.default_rng(4)
    model = TouchErrors(1.0, ONLY["substitution"], 0.1)
    assert all(model.noisy("G", rng).lower() in NEIGHBOURS["g"] for _ in range(50))
    assert set(NEIGHBOURS["g"]) == set("tyfhv")
    assert all(key in NEIGHBOURS[other] for key, beside in NEIGHBOURS.items() for other in beside)


def test_capitals_stay_in_their_place_when_letters_swap() -> None:
    assert apply("The", "transposition", 0, np.random.default_rng(0)) == "Hte"


@pytest.mark.parametrize("text", ["", "\x00", "😀 👍", "\ud800", "\u200fمرحبا", "12:30 -- ?!", "日本語"])
def test_a_text_without_latin_letters_is_typed_as_it_is(text: str) -> None:
    assert TouchErrors(1.0, ONLY["deletion"], 0.5).noisy(text, np.random.default_rng(0)) == text


@pytest.mark.parametrize(
    "sentence",
    ["", "ok", "one two", "see https://a.b now", "this is 😀 fun", "nul \x00 in here", "lone \ud800 in here",
     "right \u200f to left", "#Person1# says hi", "a " * 21],
)  # fmt: skip
def test_sentences_that_no_thumb_types_are_left_out(sentence: str) -> None:
    assert clean(sentence) == ""


def test_a_plain_sentence_is_kept_with_straight_apostrophes() -> None:
    assert clean(" I don\u2019t  know him. ") == "I don't know him."


def test_case_does_not_move_a_sentence_to_another_split() -> None:
    assert split_of("See you soon then") == split_of("see you soon then")


@pytest.mark.parametrize("source", ["samsum", "neuspell"])
def test_real_sources_give_pairs(real_sources: DataSources, source: str) -> None:
    items = pairs(f"correction:source={source}", real_sources)
    assert len(items) > 1000
    assert len({item.id for item in items}) == len(items)
    changed = np.mean([noisy(item) != item.target for item in items])
    assert changed == 1.0 if source == "neuspell" else 0.3 < changed < 0.9


def test_real_pairs_are_for_testing_only(real_sources: DataSources) -> None:
    with pytest.raises(UsageError, match="it has test"):
        pairs("correction:source=neuspell", real_sources, "train")


def test_absent_data_are_named(no_data: DataSources) -> None:
    with pytest.raises(DataError, match="samsum"):
        pairs("correction:source=samsum", no_data)


@pytest.mark.parametrize("rate", ["-0.1", "1.5"])
def test_a_rate_that_is_no_probability_is_refused(rate: str) -> None:
    with pytest.raises(UsageError, match="not a probability"):
        registry.create("task", f"correction:per_word={rate}")
