"""Which sentences do the extractive baselines repeat?"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Failure, Generate
from harness.models.summarization._extract import sentences

needs_sumy = pytest.mark.skipif(find_spec("sumy") is None, reason="TextRank comes with the extra [extractive]")
CHAT = "A: the red fox jumps. Really?\nB: the red fox sleeps\nC: nothing here\nD: the red fox eats"


def say(spec: str, *sources, seed: int = 0):
    model = registry.create("model", spec).load(Setting(None))
    return model.generate(
        [Generate(source, 50) for source in sources], decoder=None, seeds=[seed] * len(sources), meter=SilentMeter()
    )


@pytest.mark.parametrize(
    "spec",
    [
        "summarization/lead",
        "summarization/random_extract",
        pytest.param("summarization/textrank", marks=needs_sumy),
    ],
)
class TestEveryRule:
    def test_a_blank_source_gives_an_empty_summary(self, spec):
        assert [item.text for item in say(spec, "", " \n ")] == ["", ""]

    def test_one_sentence_is_its_own_summary(self, spec):
        assert say(spec, "Only this.")[0].text == "Only this."

    def test_sentences_come_whole_and_in_order(self, spec):
        lines = CHAT.split("\n")
        said = say(f"{spec}:k=2", CHAT)[0].text.split("\n")
        assert len(said) == 2
        assert [line for line in lines if line in said] == said

    def test_what_is_no_text_is_a_failure(self, spec):
        assert isinstance(say(spec, np.zeros((2, 2)))[0], Failure)

    def test_no_sentence_at_all_is_refused(self, spec):
        with pytest.raises(UsageError, match="k=0"):
            registry.create("model", f"{spec}:k=0")


def test_lead_repeats_the_first_turns():
    assert say("summarization/lead:k=2", CHAT)[0].text == "A: the red fox jumps. Really?\nB: the red fox sleeps"


def test_random_sentences_depend_on_the_requests_seed_alone():
    source = "\n".join(f"line {number}" for number in range(50))
    first = say("summarization/random_extract", source, "other", seed=3)[0].text
    assert first == say("summarization/random_extract", source, seed=3)[0].text
    assert first != say("summarization/random_extract", source, seed=4)[0].text


def test_every_sentence_is_drawn_equally_often():
    counts = np.zeros(4)
    for seed in range(400):
        for line in say("summarization/random_extract:k=1", "0\n1\n2\n3", seed=seed)[0].text.split("\n"):
            counts[int(line)] += 1
    assert counts.sum() == 400
    # 100 each, within four standard deviations of a binomial
    assert np.abs(counts - 100).max() < 4 * np.sqrt(400 * 0.25 * 0.75)


@needs_sumy
def test_textrank_prefers_sentences_that_share_words():
    said = say("summarization/textrank:k=3", CHAT)[0].text
    assert "nothing here" not in said


def test_a_sentence_is_a_line_unless_lines_are_paragraphs():
    assert sentences("a. b.\nc") == ["a. b.", "c"]
    assert sentences("title\n\na. b.\nc") == ["title", "a.", "b.", "c"]
    assert sentences("One. Two! Three?") == ["One.", "Two!", "Three?"]
    assert sentences("a. b.\nc", "sentence") == ["a.", "b.", "c"]
    assert sentences("a. b.\n\nc", "line") == ["a. b.", "c"]
    assert sentences("a\r\nb\r\n") == ["a", "b"]


def test_copying_is_all_that_copy_does():
    model = registry.create("model", "translation/copy").load(Setting(None))
    (found,) = model.generate([Generate("Two men.", 20)], decoder=None, seeds=[0], meter=SilentMeter())
    assert found.text == "Two men."
