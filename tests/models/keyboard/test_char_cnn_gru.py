"""The character-CNN corrector: it learns a toy language, pads without effect, resumes, survives bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.types import Budget, Example, Failure, Generate
from harness.models.keyboard._char_words import Sizes, WordCorrector, characters
from harness.models.keyboard._touch_channel import TouchChannel, estimate
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


def test_padding_changes_no_probability() -> None:
    torch.manual_seed(0)
    network = WordCorrector(Sizes(30, 16, 0.0)).eval()
    short, long = ["the", " cat"], ["the", " cat", " is", " here"]
    target = torch.tensor([[5, 6, 2]])
    alone = network(*characters([short]), target)
    beside = network(*characters([short, long]), torch.cat([target, target]))
    assert torch.allclose(alone[0], beside[0], atol=1e-5)


def test_an_untrained_network_is_as_uncertain_as_its_vocabulary() -> None:
    torch.manual_seed(0)
    network = WordCorrector(Sizes(50, 16, 0.0)).eval()
    loss, words = cross_entropy(network, {"the": 4, " cat": 5}, [("teh cat", "the cat"), ("the", "the")])
    assert words == 5
    assert float(loss.detach()) == pytest.approx(np.log(50), abs=0.5)


def test_redrawn_errors_have_the_channels_rate_and_keep_capitals() -> None:
    channel, rng = estimate(sentences(300, 4)), np.random.default_rng(0)
    text = "The " * 2000
    typed = redraw(text, channel, rng).split()
    wrong = sum(word != "The" for word in typed)
    assert abs(wrong - 2000 * channel.per_word) < 4 * np.sqrt(2000 * channel.per_word)
    assert all(word[0].isupper() for word in typed)


@pytest.mark.parametrize("wrong", ["width=0", "redrawn=2", "dropout=1"])
def test_sizes_that_make_no_network_are_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="char_cnn_gru"):
        registry.create("model", f"keyboard/char_cnn_gru:{wrong}")
