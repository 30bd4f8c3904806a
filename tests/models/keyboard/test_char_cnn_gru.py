"""The character-CNN corrector: it learns a toy language, searches exactly, pads without effect, survives bad input."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.types import Budget, Example, Failure, Generate
from harness.models.keyboard._char_words import Sizes, WordCorrector
from harness.models.keyboard._touch_channel import TouchChannel, estimate
from harness.models.keyboard._word_candidates import IGNORED, Lexicon, bare, counted, space
from harness.models.keyboard._word_casing import Casing, cased
from harness.models.keyboard.char_cnn_gru import cross_entropy, redraw
from harness.sources import DataSources
from harness.timing import RunMeter

WORDS = ["the", "small", "grey", "cat", "sleeps", "under", "warm", "old", "table", "while", "dog", "waits", "outside"]


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    rng = np.random.default_rng(seed)
    channel = TouchChannel(0.15, dict.fromkeys(("substitution", "insertion", "deletion", "transposition"), 0.25), 0.05)
    clean = [" ".join(rng.choice(WORDS, size=int(rng.integers(3, 7)))) + "." for _ in range(count)]
    return [(redraw(text, channel, rng), text) for text in clean]


def fitted(spec: str, pairs: list[tuple[str, str]], steps: int, folder: Path | None = None) -> Any:
    examples = [Example(str(i), (Generate(typed, 9),), clean) for i, (typed, clean) in enumerate(pairs)]
    setting = Setting(DataSources(None, online=False), folder=folder)
    return registry.create("model", spec).fit(
        lambda: iter(examples[20:]), lambda: iter(examples[:20]), seed=0, budget=Budget(steps=steps),
        setting=setting, meter=RunMeter(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> Any:
    return fitted("keyboard/char_cnn_gru:width=8", sentences(80, 0), 4)


@pytest.mark.slow
def test_it_corrects_most_words_of_a_toy_language() -> None:
    trained = fitted("keyboard/char_cnn_gru:width=32", sentences(600, 0), 250)
    held_out = sentences(60, 1)
    before = np.mean([typed == clean for typed, clean in held_out])
    after = np.mean([trained.correct(typed) == clean for typed, clean in held_out])
    assert after > before + 0.2


def test_company_and_order_change_no_answer(trained: Any) -> None:
    requests = [Generate(typed, 9) for typed, _ in sentences(8, 2)]
    together = trained.generate(requests, decoder=None, seeds=[0] * 8, meter=RunMeter(8))
    alone = [trained.generate([item], decoder=None, seeds=[0], meter=RunMeter(1))[0] for item in reversed(requests)]
    assert together == alone[::-1]


@pytest.mark.parametrize("text", ["", "\x00", "😀", "\ud800", "\u200fمرحبا", " ", "x" * 400])
def test_strange_texts_get_an_answer(trained: Any, text: str) -> None:
    [answer] = trained.generate([Generate(text, 9)], decoder=None, seeds=[0], meter=RunMeter(1))
    assert isinstance(answer.text, str)


def test_arrays_are_failures(trained: Any) -> None:
    [answer] = trained.generate([Generate(np.zeros(3), 9)], decoder=None, seeds=[0], meter=RunMeter(1))
    assert isinstance(answer, Failure)


def test_a_fit_in_two_parts_is_the_fit_in_one(tmp_path: Path) -> None:
    spec, pairs = "keyboard/char_cnn_gru:width=8", sentences(120, 3)
    whole = fitted(spec, pairs, 6, tmp_path / "whole")
    # the same fit again from its finished checkpoint
    again = fitted(spec, pairs, 6, tmp_path / "whole")
    for left, right in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(left, right)


def lexicon(candidates: int = 5) -> Lexicon:
    return Lexicon({"the": 9, "then": 4, "they": 3, "he": 7, "cat": 5, "bat": 5, "once": 1}, 100, candidates)


def untrained(words: Lexicon) -> WordCorrector:
    torch.manual_seed(0)
    return WordCorrector(Sizes(words.size, 16, 0.0)).eval()


def test_candidates_are_the_typed_word_and_then_the_nearest_known_words_by_frequency() -> None:
    assert lexicon().candidates("the") == ("the", "he", "then", "they")
    assert lexicon(3).candidates("the") == ("the", "he", "then")
    assert lexicon().candidates("teh") == ("teh", "the")
    assert lexicon().candidates("zebra") == ("zebra",)
    assert lexicon().candidates("onc") == ("onc",)
    assert lexicon().candidates("?") == ("?",)


def test_a_batch_points_at_the_true_word_and_keeps_what_cannot_be_restored() -> None:
    batch = lexicon().batch([(["Teh", " cat"], ["The", " cat"]), ([" oce"], [" once"])])
    assert batch.choice_BS.tolist() == [[1, 0], [0, IGNORED]]
    assert batch.capital_BS.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert batch.lengths_B.tolist() == [2, 1]
    assert batch.candidates_BSK[1].tolist()[1] == [0, -1]


def test_words_are_counted_without_case_or_the_space_before_them() -> None:
    assert counted(["The cat, the Cat"]) == {"the": 2, "cat": 2, ",": 1}
    assert [bare(word) for word in (" The", "I'm", " ", "?")] == ["the", "i'm", " ", "?"]
    assert [space(word) for word in (" The", "The", " ")] == [" ", "", ""]


def test_restored_words_get_the_capitals_of_the_typed_word_the_sentence_and_usage() -> None:
    case = Casing({" paul": " Paul"}, capital_start=True)
    assert cased(" Teh", " the", False, case) == " The"
    assert cased(" pual", " paul", False, case) == " Paul"
    assert cased("he", "the", True, case) == "The"
    assert cased(" IT", " it", False, case) == " IT"


def test_padding_changes_no_probability() -> None:
    words = lexicon()
    network = untrained(words)
    short, long = ["teh", " cat"], ["teh", " bat", " then", " hee"]
    alone = network(words.batch([(short, short)])).softmax(dim=2)
    beside = network(words.batch([(short, short), (long, long)])).softmax(dim=2)
    assert torch.allclose(alone[0], beside[0, :2, : alone.shape[2]], atol=1e-5)


def test_no_choice_sees_the_true_words_at_or_after_its_place() -> None:
    words = lexicon()
    network = untrained(words)
    typed = ["teh", " cat", " he"]
    [left] = network(words.batch([(typed, ["the", " cat", " he"])]))
    [right] = network(words.batch([(typed, ["the", " bat", " then"])]))
    assert torch.allclose(left[:2], right[:2], atol=1e-6)
    assert not torch.allclose(left[2], right[2], atol=1e-4)


def test_a_wide_beam_finds_the_likeliest_choice_of_all() -> None:
    words = lexicon()
    network, typed = untrained(words), ["the", " bat", " hen"]
    batch = words.batch([(typed, typed)])

    def log_probability(choice: tuple[int, ...]) -> float:
        meant = [words.candidates(bare(word))[place] for word, place in zip(typed, choice, strict=True)]
        logits = network(words.batch([(typed, meant)]))[0].log_softmax(dim=1)
        return float(sum(logits[row, place] for row, place in enumerate(choice)))

    every = itertools.product(*(range(len(words.candidates(bare(word)))) for word in typed))
    with torch.no_grad():
        best = max(every, key=log_probability)
    assert tuple(network.correct(batch, beam=100)) == best


def test_certainty_costs_nothing_and_an_open_choice_something() -> None:
    words = lexicon()
    network = untrained(words)
    loss, count = cross_entropy(network, words, [(["zebra", "!"], ["zebra", "!"])])
    assert (float(loss.detach()), count) == (0.0, 2)
    loss, _ = cross_entropy(network, words, [(["teh"], ["the"])])
    assert float(loss.detach()) > 0.0


def test_redrawn_errors_have_the_channels_rate_and_keep_capitals() -> None:
    channel, rng = estimate(sentences(300, 4)), np.random.default_rng(0)
    text = "The " * 2000
    typed = redraw(text, channel, rng).split()
    wrong = sum(word != "The" for word in typed)
    assert abs(wrong - 2000 * channel.per_word) < 4 * np.sqrt(2000 * channel.per_word)
    # only a lost first letter takes its capital along
    assert {word for word in typed if not word[0].isupper()} == {"he"}


@pytest.mark.parametrize("wrong", ["width=0", "redrawn=2", "dropout=1", "beam=0", "sentences=-1", "learning_rate=0"])
def test_sizes_that_make_no_network_are_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="char_cnn_gru"):
        registry.create("model", f"keyboard/char_cnn_gru:{wrong}")
