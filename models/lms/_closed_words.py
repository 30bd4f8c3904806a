"""How does a text become words of a closed list? Frequent words are symbols, rarer ones shares of one symbol.

Words are what white space separates, and a line's end is a word of its own. The network knows the `limit` most frequent
ones; every other word of the training text is RARE to it, times its share of all rare words there. So the
probabilities of all words of the training text sum to one; a word outside it has none, and is an error.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import final

WORD = re.compile(r"\n|[^\S\n]*[^\s]+")
END, RARE = 0, 1  # a line's end, which also precedes every text, and the class of rarer words


@final
@dataclass(frozen=True)
class ClosedWords:
    """The network's symbols: END, RARE, then `frequent`; `rare` holds log shares, in nats."""

    frequent: tuple[str, ...]
    rare: dict[str, float] = field(default_factory=dict)
    index: dict[str, int] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Number the words."""
        self.index.update({"\n": END, **{word: place for place, word in enumerate(self.frequent, RARE + 1)}})

    @staticmethod
    def of(texts: Iterable[str], limit: int) -> ClosedWords:
        """The `limit` most frequent words (equal ones by spelling) of training texts; the others are rare."""
        counts = Counter(word for text in texts for word, _ in split(text) if word != "\n")
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        total = sum(counts[word] for word in ranked[limit:])
        return ClosedWords(tuple(ranked[:limit]), {word: math.log(counts[word] / total) for word in ranked[limit:]})

    @property
    def size(self) -> int:
        """Symbols in all."""
        return len(self.frequent) + 2

    def encode(self, words: Sequence[str]) -> tuple[list[int], list[float]]:
        """Symbols, and nats to add for rare words; ValueError for a word that the training text lacks."""
        unknown = [word for word in words if word not in self.index and word not in self.rare]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no word of the training text, and this model's list is closed")
        return [self.index.get(word, RARE) for word in words], [self.rare.get(word, 0.0) for word in words]


def split(text: str) -> list[tuple[str, tuple[int, int]]]:
    """Each word with its [start, end) characters, the space before it included."""
    return [(hit.group().lstrip(" \t") or hit.group(), hit.span()) for hit in WORD.finditer(text)]
