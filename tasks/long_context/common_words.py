"""Whether a model sees which words of a long list occur most often."""

from __future__ import annotations

import numpy as np

from harness.api.registry import task
from harness.tasks.long_context._long_text import Drawn, LongTextTask
from harness.tasks.long_context._passkey_text import words

OPENING = "Below is a list of words. Some of them occur often, most of them only a few times."
QUESTION = "That is the end of the list. The {common} words that occur most often in it are"
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"


@task(
    version=1,
    doors=("generate",),
    paper="Hsieh et al. 2024, RULER, arXiv:2404.06654 (common words extraction)",
    licence="Apache-2.0 (generated)",
    differs="invented words of three syllables; no numbers in the list; no solved example; lengths in words",
    chance=0.0,
)
class CommonWords(LongTextTask):
    """A shuffled list in which `common` words occur `often` times and all others `seldom` times; name the common ones.

    The length decides how many other words there are. Words are invented, so that none is likely by itself.

    Hsieh et al. 2024, "RULER".
    Differs from the paper: invented words, no numbers in the list, no solved example, lengths in words.
    """

    common: int = 10
    often: int = 30  # the paper's
    seldom: int = 3  # the paper's

    def __post_init__(self) -> None:
        """Refuse lists in which nothing is common."""
        super().__post_init__()
        if self.common < 1 or self.seldom < 1 or self.often <= self.seldom:
            raise ValueError("common_words needs common >= 1 and often > seldom >= 1.")
        self.draw(min(self.lengths), np.random.default_rng(0))

    def draw(self, length: int, rng: np.random.Generator) -> Drawn:
        """A list that fills the length."""
        question = QUESTION.format(common=self.common)
        room = length - words(OPENING) - words(question) - self.common * self.often
        others = room // self.seldom
        if others < self.common:
            raise ValueError(
                f"a list of {length} words has no room for {self.common} words {self.often} times and as many others."
            )
        names = invented(self.common + others, rng)
        times = [self.often] * self.common + [self.seldom] * others
        items = [name for name, count in zip(names, times, strict=True) for _ in range(count)]
        listing = " ".join(items[index] for index in rng.permutation(len(items)))
        return Drawn(f"{OPENING}\n\n{listing}\n\n{question}", tuple(names[: self.common]), 8 * self.common + 16)


def invented(count: int, rng: np.random.Generator) -> list[str]:
    """Distinct words of three syllables."""
    kinds = len(CONSONANTS) * len(VOWELS)
    if count > kinds**3:
        raise ValueError(f"{count} words are more than the {kinds**3} that three syllables make.")
    syllables = [consonant + vowel for consonant in CONSONANTS for vowel in VOWELS]
    codes = rng.choice(kinds**3, count, replace=False).tolist()
    return [syllables[code // kinds**2] + syllables[code // kinds % kinds] + syllables[code % kinds] for code in codes]
