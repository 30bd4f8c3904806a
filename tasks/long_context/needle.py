"""Whether a model finds several facts in a long text, among others that look alike."""

from __future__ import annotations

import numpy as np

from harness.api.registry import task
from harness.tasks.long_context._long_text import Drawn, LongTextTask, among_filler, listed
from harness.tasks.long_context._passkey_text import words

OPENING = "Some numbered lockers are mentioned in the notes below. Read them and keep the numbers in mind."
NEEDLE = "One of the numbers of the {key} locker is {value}."
QUESTION = "That is the end of the notes. Which numbers of the {keys} are mentioned? The numbers of the {keys} are"
COLOURS = (
    "amber azure beige black bronze brown coral crimson cyan golden green grey indigo ivory jade lilac "
    "maroon mauve ochre olive orange pink purple red ruby silver teal turquoise violet white yellow"
)
PLACES = "attic barn cellar chapel dock garage harbour kitchen library mill museum office porch station"
KEYS = tuple(f"{colour} {place}" for colour in COLOURS.split() for place in PLACES.split())
NUMBERS = (1_000_000, 10_000_000)  # seven digits, RULER's


@task(
    version=1,
    doors=("generate",),
    paper="Hsieh et al. 2024, RULER, arXiv:2404.06654 (NIAH)",
    licence="Apache-2.0 (generated)",
    differs="own sentences and filler; lengths in words; whole words in place of substrings",
    chance=0.0,
)
class Needle(LongTextTask):
    """`needles` asked keys with `values` seven-digit numbers each, and `distractors` keys that are not asked.

    RULER's variants are parameters: single (1, 1, 0), multi-key (distractors=3), multi-value (values=4), multi-query
    (needles=4). Score: share of the asked numbers that the answer holds.

    Hsieh et al. 2024, "RULER".
    Differs from the paper: own sentences and filler, lengths in words, whole words in place of substrings.
    """

    needles: int = 1  # asked keys
    values: int = 1  # numbers of a key
    distractors: int = 3  # keys that are not asked, each with as many numbers

    def __post_init__(self) -> None:
        """Refuse grids that make no sense or cannot hold their needles."""
        super().__post_init__()
        if self.needles < 1 or self.values < 1 or self.distractors < 0 or self.needles + self.distractors > len(KEYS):
            raise ValueError(f"needle needs needles >= 1, values >= 1, distractors >= 0 and at most {len(KEYS)} keys.")
        self.draw(min(self.lengths), np.random.default_rng(0))

    def draw(self, length: int, rng: np.random.Generator) -> Drawn:
        """Needles in random order at random places."""
        kinds = self.needles + self.distractors
        keys = [KEYS[index] for index in rng.choice(len(KEYS), kinds, replace=False).tolist()]
        numbers = [str(number) for number in rng.integers(*NUMBERS, size=kinds * self.values)]
        facts = [
            NEEDLE.format(key=key, value=numbers[place * self.values + turn])
            for place, key in enumerate(keys)
            for turn in range(self.values)
        ]
        asked = listed([f"{key} locker" for key in keys[: self.needles]])
        question = QUESTION.format(keys=asked)
        mixed = [facts[index] for index in rng.permutation(len(facts))]
        notes = among_filler(mixed, length, words(OPENING) + words(question), rng)
        wanted = tuple(numbers[: self.needles * self.values])
        return Drawn(f"{OPENING}\n\n{notes}\n\n{question}", wanted, 16 * len(wanted) + 16)
