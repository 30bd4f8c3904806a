"""What a corrector reaches that knows words and their frequencies, but no context."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import final

from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget, Example
from harness.models.keyboard._corrector import Corrector, text_pairs
from harness.models.keyboard._near_words import NearWords
from harness.models.lms._training_prose import documentation

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@model(
    doors=("generate",),
    paper="Norvig 2007, How to Write a Spelling Corrector, norvig.com/spell-correct.html",
    licence="Apache-2.0",
    learns=True,
    decodes=False,
    differs="counts come from the task's training split and the Python documentation instead of big.txt",
)
class Norvig:
    """Unigram corrector: an unknown word becomes the most frequent known word one edit away, else two edits away.

    argmax over candidates c of count(c), candidates in this order: the word itself if known, known words at distance 1,
    at distance 2, the word itself. The case of the first letter is kept.

    Norvig 2007, "How to Write a Spelling Corrector".
    Differs from the paper: other corpus; ties are broken by the alphabet; capitals are restored.
    """

    documentation: bool = True  # also count the words of the Python documentation, so that fewer words are unknown

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Version of the rules."""
        return {"version": "1"}

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> Corrector:
        """Count words; the budget is not needed."""
        with meter.span("train"):
            counts = Counter(word.lower() for _, clean in text_pairs(train) for word in WORD.findall(clean))
            if not counts:
                raise UsageError("keyboard/norvig counts the words of the training split, which is empty.")
            if self.documentation:
                counts.update(word.lower() for text in documentation() for word in WORD.findall(text))
            speller = Speller(counts)
        return Corrector(speller.correct, {"parameters": len(counts), "vocabulary": len(counts)})


@final
class Speller:
    """Word counts and the words near any word."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts
        self._near = NearWords(counts, reach=2)
        self._memory: dict[str, str] = {}

    def correct(self, text: str) -> str:
        """Each word on its own; what stands between words stays."""
        return WORD.sub(lambda match: self._word(match.group()), text)

    def _word(self, typed: str) -> str:
        lower = typed.lower()
        if lower in self.counts:
            return typed
        if lower not in self._memory:
            near = self._near.near(lower)
            # nearest first, then most frequent, then alphabetical
            self._memory[lower] = min(near, key=lambda known: (near[known], -self.counts[known], known), default=lower)
        best = self._memory[lower]
        if best == lower:
            return typed
        return best[:1].upper() + best[1:] if typed[0].isupper() else best
