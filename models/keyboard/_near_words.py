"""Which known words are near a typed one, found without comparing with all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final


@final
class NearWords:
    """Known words within restricted Damerau-Levenshtein distance `reach` (1 or 2), through their deletions.

    Two words within distance k share a string that k deletions make of each of them (Garbe's symmetric deletes).
    """

    def __init__(self, words: Iterable[str], reach: int) -> None:
        self.reach = reach
        self._index: dict[str, list[str]] = {}
        for word in words:
            for short in deletions(word, reach):
                self._index.setdefault(short, []).append(word)

    def near(self, word: str) -> dict[str, int]:
        """Known words and their distance from `word`, 0 to `reach`."""
        candidates = {known for short in deletions(word, self.reach) for known in self._index.get(short, ())}
        distances = {known: distance(word, known) for known in sorted(candidates)}
        return {known: steps for known, steps in distances.items() if steps <= self.reach}


def deletions(word: str, most: int) -> set[str]:
    """The word and everything that up to `most` deletions make of it."""
    reached = {word}
    frontier = {word}
    for _ in range(most):
        frontier = {text[:place] + text[place + 1 :] for text in frontier for place in range(len(text))}
        reached |= frontier
    return reached


def distance(left: str, right: str) -> int:
    """Fewest substitutions, insertions, deletions and transpositions of neighbours; no place is edited twice."""
    before: list[int] = []
    current = list(range(len(right) + 1))
    for row, letter in enumerate(left, 1):
        previous, current = current, [row]
        for column, other in enumerate(right, 1):
            best = min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (letter != other))
            if row > 1 and column > 1 and letter == right[column - 2] and left[row - 2] == other:
                best = min(best, before[column - 2] + 1)
            current.append(best)
        before = previous
    return current[-1]
