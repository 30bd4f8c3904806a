"""What a thumb does to a word: substitutions by a neighbouring key, insertions, deletions and transpositions.

Each word of letters is hit with probability `per_word`; a hit word gets exactly one error, so that per_word is the
rate of wrong words. How the four operations share the errors, and how often the first letter is the victim, comes
from lists of real misspellings (`_touch_error_rates.json`, made by `benchmarks/touch_error_rates.py`). Those lists
record spelling as much as thumbs, so which wrong letter appears is taken from the geometry of the keyboard instead.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# each row of a phone keyboard is shifted by half a key (third row: one and a half keys) against the first
OFFSETS = (0.0, 0.5, 1.5)
OPERATIONS = ("substitution", "insertion", "deletion", "transposition")
RATES = Path(__file__).with_name("_touch_error_rates.json")
WORD = re.compile(r"[A-Za-z]+")


def _neighbours() -> dict[str, str]:
    """Keys whose centres are less than 1.2 key widths apart: left, right, and the two nearest in the next rows."""
    places = {
        letter: (column + OFFSETS[row], float(row))
        for row, letters in enumerate(ROWS)
        for column, letter in enumerate(letters)
    }
    return {
        key: "".join(
            other
            for other, (left, down) in places.items()
            if other != key and (left - places[key][0]) ** 2 + (down - places[key][1]) ** 2 < 1.2**2
        )
        for key in places
    }


NEIGHBOURS = _neighbours()


@dataclass(frozen=True, slots=True)
class TouchErrors:
    """An error model; `shares` of the four operations sum to 1."""

    per_word: float
    shares: Mapping[str, float]
    first_letter: float  # share of errors on the first letter, where others could be hit

    def noisy(self, sentence: str, rng: np.random.Generator) -> str:
        """The sentence as typed; everything but letters, and every word boundary, stays."""
        return WORD.sub(lambda match: self._typed(match.group(), rng), sentence)

    def _typed(self, word: str, rng: np.random.Generator) -> str:
        if rng.random() >= self.per_word:
            return word
        while True:
            operation = str(rng.choice(OPERATIONS, p=[self.shares[name] for name in OPERATIONS]))
            valid = places(word, operation)
            # a word without a place for this operation suffers another one
            if valid:
                return apply(word, operation, self._choose(valid, rng), rng)

    def _choose(self, valid: list[int], rng: np.random.Generator) -> int:
        if len(valid) > 1 and valid[0] == 0:
            return 0 if rng.random() < self.first_letter else valid[int(rng.integers(1, len(valid)))]
        return valid[int(rng.integers(len(valid)))]


def places(word: str, operation: str) -> list[int]:
    """Letters at which an operation changes the word and leaves something of it."""
    if operation == "transposition":
        return [place for place in range(len(word) - 1) if word[place].lower() != word[place + 1].lower()]
    if operation == "deletion" and len(word) == 1:
        return []
    return list(range(len(word)))


def apply(word: str, operation: str, place: int, rng: np.random.Generator) -> str:
    """One error at a letter; upper case stays where the letter stays."""
    letter = word[place]
    before, after = word[:place], word[place + 1 :]
    if operation == "deletion":
        return before + after
    if operation == "transposition":
        swapped = after[0] + letter
        # a capital belongs to the place, not to the letter
        swapped = "".join(
            new.upper() if old.isupper() else new.lower() for new, old in zip(swapped, letter + after[0], strict=True)
        )
        return before + swapped + after[1:]
    beside = NEIGHBOURS[letter.lower()]
    wrong = beside[int(rng.integers(len(beside)))]
    if operation == "substitution":
        return before + (wrong.upper() if letter.isupper() else wrong) + after
    # a finger that lands between two keys presses the letter and its neighbour, or bounces and presses it twice
    extra = letter.lower() if rng.random() < 0.5 else wrong
    return before + letter + extra + after


def estimated(per_word: float) -> TouchErrors:
    """The error model with the stored rates."""
    stored = json.loads(RATES.read_text(encoding="utf-8"))
    return TouchErrors(per_word, stored["shares"], stored["first_letter"])


def sentence_seed(seed: int, split: int, sentence: str) -> list[int]:
    """Entropy for one sentence's errors: different for each seed, split and sentence, whatever stands around it."""
    digest = hashlib.sha256(sentence.encode("utf-8", "surrogatepass")).digest()
    return [seed, split, int.from_bytes(digest[:8], "big")]
