"""How well a model completes the word that is being typed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example, Response, Score, Scored
from harness.tasks.keyboard._sentences import SPLITS, digest, sentences, shuffled
from harness.tasks.keyboard._suggestions import KeystrokesSaved, TopWords
from harness.tasks.keyboard._touch_errors import sentence_seed

BAR = 3  # suggestions that a phone shows
WORD = re.compile(r"(?<= )[a-z]+(?![\w'])")  # lower-case words inside a sentence


@task(
    version=1,
    doors=("score",),
    paper="Ghosh, Kristensson 2017, Neural Networks for Text Correction and Completion in Keyboard Decoding",
    licence="own messages Apache-2.0; other sources as their data sets",
    differs="ranks the known words with the typed prefix instead of generating freely; clean context",
)
class Completion:
    """The first letters of a word in its sentence; which word is it? Top-1, top-3 and keystroke savings.

    The candidates are the most frequent training words that begin with what was typed, and the true
    word, in alphabetical order. Each is one Score request: context = the sentence so far, continuation = the candidate
    after its space. No candidate contradicts the prefix, by construction. One word a sentence, drawn by seed.

    Ghosh, Kristensson 2017, "Neural Networks for Text Correction and Completion in Keyboard Decoding".
    Differs from the paper: closed candidate set, clean context, and the data of `keyboard/correction`.
    """

    source: Literal["messages", "dialogsum", "samsum", "tatoeba"] = "messages"
    prefix: int = 1  # letters typed
    candidates: int = 16  # at most, the true word included

    def __post_init__(self) -> None:
        """Refuse a task without anything to complete or to choose."""
        if self.prefix < 1 or self.candidates < 2:
            raise ValueError("prefix must be at least 1 and candidates at least 2.")

    @property
    def door(self) -> str:
        """Log-probabilities."""
        return "score"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """The bar with one and with three words."""
        return (TopWords(1), TopWords(BAR), KeystrokesSaved(BAR))

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One word of each sentence that has one to complete."""
        if split not in SPLITS:
            raise UsageError(f"keyboard/completion has no split {split!r}; it has {', '.join(SPLITS)}.")
        known = self._known(sources)
        elsewhere = self._beginnings([other for other in SPLITS if other != split], sources)
        for sentence in shuffled(sentences(self.source, split, sources), seed):
            rng = np.random.default_rng(sentence_seed(seed, SPLITS.index(split), sentence))
            places = [
                match
                for match in WORD.finditer(sentence)
                if len(match.group()) >= self.prefix + 2 and sentence[: match.start() - 1] not in elsewhere
            ]
            if places:
                match = places[int(rng.integers(len(places)))]
                example = self._example(split, sentence, match.start(), match.group(), known)
                if len(example.requests) > 1:
                    yield example

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the sentences."""
        return digest(self.source, sources)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Knows the word."""
        place = example.target["place"]
        return tuple(_scored(0.0 if index == place else -9.0) for index in range(len(example.requests)))

    def _known(self, sources: Sources) -> dict[str, list[str]]:
        """Training words by prefix, most frequent first."""
        counts = Counter(word for text in sentences(self.source, "train", sources) for word in WORD.findall(text))
        known: dict[str, list[str]] = {}
        for word in sorted(counts, key=lambda item: (-counts[item], item)):
            if len(word) > self.prefix:
                known.setdefault(word[: self.prefix], []).append(word)
        return known

    def _beginnings(self, splits: list[str], sources: Sources) -> set[str]:
        """Every context of other splits: a beginning that two splits share is asked in neither."""
        return {
            text[: match.start() - 1]
            for split in splits
            for text in sentences(self.source, split, sources)
            for match in WORD.finditer(text)
        }

    def _example(self, split: str, sentence: str, start: int, word: str, known: dict[str, list[str]]) -> Example:
        rivals = [other for other in known.get(word[: self.prefix], []) if other != word]
        # alphabetical, so that the place says nothing
        choices = sorted([*rivals[: self.candidates - 1], word])
        name = hashlib.sha256(sentence.encode()).hexdigest()[:16]
        return Example(
            id=f"{split}-{name}",
            requests=tuple(Score(sentence[: start - 1], f" {choice}") for choice in choices),
            target={"word": word, "typed": self.prefix, "place": choices.index(word)},
        )


def _scored(logprob: float) -> Scored:
    return Scored((logprob,), ((0, 1),))
