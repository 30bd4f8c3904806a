"""Keyboard baselines: nearness against brute force, the channel as a law, what each corrector can and cannot do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget, Example, Failure, Generate, Score
from harness.models.keyboard._near_words import NearWords, distance
from harness.models.keyboard._touch_channel import OPERATIONS, TouchChannel, estimate, single_edit
from harness.sources import DataSources
from harness.tasks.keyboard._touch_errors import TouchErrors

SHARES = {"substitution": 0.3, "insertion": 0.2, "deletion": 0.4, "transposition": 0.1}
BAD = ["", "\x00", "😀", "\ud800", "\u200fمرحبا", " ", "x" * 400]


def fitted(spec: str, pairs: list[tuple[str, str]]) -> Any:
    examples = [Example(str(i), (Generate(typed, 9),), clean) for i, (typed, clean) in enumerate(pairs)]
    return registry.create("model", spec).fit(
        lambda: iter(examples), lambda: iter(()), seed=0, budget=Budget(),
        setting=Setting(DataSources(None, online=False)), meter=SilentMeter(),
    )  # fmt: skip


def answers(loaded: Any, texts: list[str]) -> list[str]:
    requests = [Generate(text, 9) for text in texts]
    return [
        reply.text for reply in loaded.generate(requests, decoder=None, seeds=[0] * len(texts), meter=SilentMeter())
    ]


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    task = registry.create("task", "keyboard/correction")
    examples: Iterator[Example] = task.examples("train", 0, DataSources(None, online=False))
    return [(example.requests[0].source, example.target) for example in examples]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("left", "right", "steps"),
    [("", "", 0), ("", "ab", 2), ("teh", "the", 1), ("cat", "cta", 1), ("abcd", "bacd", 1),
     ("ca", "abc", 3), ("kitten", "sitting", 3)],
)  # fmt: skip
def test_distances_of_known_pairs(left: str, right: str, steps: int) -> None:
    assert distance(left, right) == distance(right, left) == steps


@pytest.mark.parametrize("reach", [1, 2])
def test_near_words_are_those_of_a_full_search(reach: int) -> None:
    words = ["".join(letters) for length in range(1, 5) for letters in itertools.product("abc", repeat=length)]
    near = NearWords(words[::3], reach)
    for typed in words:
        brute = {word: distance(typed, word) for word in words[::3] if distance(typed, word) <= reach}
        assert near.near(typed) == brute


@pytest.mark.parametrize("word", ["a", "aa", "it", "hello", "don't", "moon"])
def test_the_channel_is_a_law_over_typed_words(word: str) -> None:
    channel = TouchChannel(0.2, SHARES, 0.05)
    wrong = channel._errors(word)
    assert sum(wrong.values()) == pytest.approx(1.0)
    assert word not in wrong
    assert channel.probability(word, word) == 0.8
    assert channel.probability("unrelated", word) == 0.0


def test_the_channel_is_the_law_of_the_error_model() -> None:
    channel, rng = TouchChannel(1.0, SHARES, 0.05), np.random.default_rng(0)
    model = TouchErrors(1.0, SHARES, 0.05)
    draws = [model.noisy("hello", rng) for _ in range(20_000)]
    for typed in ("hllo", "helol", "helllo", "jello", "hellk", "hjello"):
        expected = channel.probability(typed, "hello")
        assert abs(draws.count(typed) / 20_000 - expected) < 4 * np.sqrt(expected / 20_000)


def test_rates_are_found_again(pairs: list[tuple[str, str]]) -> None:
    found = estimate(pairs)
    assert found.per_word == pytest.approx(0.12, abs=0.02)
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert max(OPERATIONS, key=lambda name: found.shares[name]) == "deletion"


@pytest.mark.parametrize(
    ("word", "typed", "edit"),
    [("the", "teh", ("transposition", 1)), ("the", "thr", ("substitution", 2)), ("the", "thre", ("insertion", 1)),
     ("the", "th", ("deletion", 2)), ("the", "xyz", None), ("a", "s", ("substitution", 0))],
)  # fmt: skip
def test_single_edits_are_named(word: str, typed: str, edit: tuple[str, int] | None) -> None:
    assert single_edit(word, typed) == edit


def test_identity_returns_what_was_typed() -> None:
    loaded = registry.create("model", "keyboard/identity").load(Setting(DataSources(None)))
    assert answers(loaded, ["Tge cat", *BAD]) == ["Tge cat", *BAD]


def test_norvig_corrects_unknown_words_and_leaves_known_ones() -> None:
    loaded = fitted("keyboard/norvig:documentation=false", [("", "The cat sat. The cat ran. The car stops.")])
    assert answers(loaded, ["Teh cat", "the cst,", "Cra", "the car", "zzzzzz"]) == [
        "The cat",
        "the cat,",
        "Car",
        "the car",
        "zzzzzz",
    ]


def test_the_noisy_channel_uses_the_word_before() -> None:
    text = [("x", "I have a red car.")] * 5 + [("x", "I feed a fat cat.")] * 5
    loaded = fitted(
        "keyboard/noisy_channel", [(clean, clean) for _, clean in text] + [("I habe a red car.", "I have a red car.")]
    )
    assert answers(loaded, ["I have a red cr.", "I feed a fat ct."]) == ["I have a red car.", "I feed a fat cat."]


def test_the_noisy_channel_beats_norvig_and_no_correction(pairs: list[tuple[str, str]], no_data: DataSources) -> None:
    task = registry.create("task", "keyboard/correction")
    test = list(task.examples("test", 0, no_data))[:80]
    metric = registry.create("metric", "cer")
    rates = {}
    for spec in ("keyboard/norvig", "keyboard/noisy_channel"):
        texts = fitted(spec, pairs).generate(
            [item.requests[0] for item in test], decoder=None, seeds=[0] * 80, meter=SilentMeter()
        )
        rates[spec] = metric.reduce(
            np.stack([metric.measure(item, (text,)) for item, text in zip(test, texts, strict=True)])
        )
    assert rates["keyboard/noisy_channel"] < rates["keyboard/norvig"]
    assert rates["keyboard/noisy_channel"] < 0.5 * 0.0281  # half of what was typed wrong


@pytest.mark.parametrize("spec", ["keyboard/norvig", "keyboard/noisy_channel"])
def test_strange_texts_come_back_as_they_are(spec: str) -> None:
    loaded = fitted(spec, [("helo you", "hello you")])
    assert answers(loaded, BAD) == BAD


@pytest.mark.parametrize("spec", ["keyboard/norvig", "keyboard/noisy_channel"])
def test_an_empty_training_split_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        fitted(spec, [])


def test_tasks_without_text_pairs_are_refused() -> None:
    wrong = Example("a", (Score("a", "b"),), 1)
    with pytest.raises(UsageError, match="pairs of texts"):
        registry.create("model", "keyboard/norvig").fit(
            lambda: iter([wrong]), lambda: iter(()), seed=0, budget=Budget(),
            setting=Setting(DataSources(None)), meter=SilentMeter(),
        )  # fmt: skip


def test_arrays_are_failures_and_do_not_stop_the_batch() -> None:
    loaded = registry.create("model", "keyboard/identity").load(Setting(DataSources(None)))
    bad, good = loaded.generate(
        [Generate(np.zeros(3), 4), Generate("ok", 4)], decoder=None, seeds=[0, 0], meter=SilentMeter()
    )
    assert isinstance(bad, Failure)
    assert good.text == "ok"
