"""How likely a touch keyboard turns one word into another: every single error, with its exact probability."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import final

LETTERS = re.compile(r"[A-Za-z]+")
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
OFFSETS = (0.0, 0.5, 1.5)  # key widths by which each row is shifted
OPERATIONS = ("substitution", "insertion", "deletion", "transposition")


def _keys_beside() -> dict[str, str]:
    places = {
        letter: (column + shift, float(row))
        for row, (letters, shift) in enumerate(zip(ROWS, OFFSETS, strict=True))
        for column, letter in enumerate(letters)
    }
    return {
        key: "".join(
            other
            for other, place in places.items()
            if other != key and (place[0] - here[0]) ** 2 + (place[1] - here[1]) ** 2 < 1.2**2
        )
        for key, here in places.items()
    }


BESIDE = _keys_beside()


@final
@dataclass(frozen=True)
class TouchChannel:
    """P(typed | intended) where a word suffers at most one error.

    P(typed | w) = 1 - p if typed = w, else p sum over operations o, places i of share(o) P(i|o,w) P(typed|o,i,w);
    operations that w has no place for (a one-letter word loses no letter) give their share to the others. `first` is
    the probability of the first letter as the place; the operation's other places share the rest.
    """

    per_word: float
    shares: dict[str, float]
    first: float
    _memory: dict[str, dict[str, float]] = field(default_factory=dict, repr=False)

    def probability(self, typed: str, word: str) -> float:
        """P(typed | word) for lower-case words; 0 where one error does not do."""
        if typed == word:
            return 1.0 - self.per_word
        if word not in self._memory:
            self._memory[word] = self._errors(word)
        return self.per_word * self._memory[word].get(typed, 0.0)

    def errors(self, word: str) -> tuple[list[str], list[float]]:
        """Every wrong form of a lower-case word and its probability, given that there is an error."""
        self.probability("", word)
        return list(self._memory[word]), list(self._memory[word].values())

    def _errors(self, word: str) -> dict[str, float]:
        """Every wrong form and its probability, given that there is an error."""
        law: defaultdict[str, float] = defaultdict(float)
        for operation in OPERATIONS:
            places = _places(word, operation)
            for place in places:
                here = 1.0 if len(places) == 1 else 1.0 / len(places)
                if len(places) > 1 and places[0] == 0:
                    here = self.first if place == 0 else (1.0 - self.first) / (len(places) - 1)
                for typed, chance in _outcomes(word, operation, place):
                    law[typed] += self.shares[operation] * here * chance
        total = sum(law.values())
        return {typed: mass / total for typed, mass in law.items()}


def _places(word: str, operation: str) -> list[int]:
    """Where an operation can hit a word and change it."""
    if operation == "transposition":
        return [place for place in range(len(word) - 1) if word[place] != word[place + 1]]
    places = [place for place, letter in enumerate(word) if letter in BESIDE or operation == "deletion"]
    return [] if operation == "deletion" and len(word) == 1 else places


def _outcomes(word: str, operation: str, place: int) -> list[tuple[str, float]]:
    """What an operation at a place may leave, with probabilities that sum to 1."""
    before, letter, after = word[:place], word[place], word[place + 1 :]
    if operation == "deletion":
        return [(before + after, 1.0)]
    if operation == "transposition":
        return [(before + after[0] + letter + after[1:], 1.0)]
    beside = BESIDE[letter]
    if operation == "substitution":
        return [(before + other + after, 1 / len(beside)) for other in beside]
    doubled = [(before + letter + letter + after, 0.5)]
    return doubled + [(before + letter + other + after, 0.5 / len(beside)) for other in beside]


def estimate(pairs: Iterable[tuple[str, str]]) -> TouchChannel:
    """The channel's rates from pairs of texts with equally many words."""
    words = wrong = first = 0
    operations: Counter[str] = Counter()
    for typed, clean in pairs:
        left, right = LETTERS.findall(clean.lower()), LETTERS.findall(typed.lower())
        if len(left) != len(right):
            continue
        words += len(left)
        for intended, seen in zip(left, right, strict=True):
            if intended == seen:
                continue
            wrong += 1
            edit = single_edit(intended, seen)
            if edit is not None:
                operations[edit[0]] += 1
                first += edit[1] == 0 and len(intended) > 1
    # one imagined error of each kind keeps every kind possible
    total = sum(operations.values()) + len(OPERATIONS)
    shares = {name: (operations[name] + 1) / total for name in OPERATIONS}
    return TouchChannel((wrong + 1) / (words + 2), shares, (first + 1) / (total + 2))


def single_edit(word: str, typed: str) -> tuple[str, int] | None:
    """The one operation that turns `word` into `typed`, and the letter of `word` that it hits, if one is enough."""
    place = 0
    while place < min(len(word), len(typed)) and word[place] == typed[place]:
        place += 1
    left, right = word[place:], typed[place:]
    if len(left) == len(right) >= 2 and left[1] + left[0] + left[2:] == right:
        return "transposition", place
    if len(left) == len(right) and left[1:] == right[1:]:
        return "substitution", place
    if left == right[1:]:
        return "insertion", max(0, place - 1)
    return ("deletion", place) if left[1:] == right else None
