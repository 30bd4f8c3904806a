"""Which known words may be meant by a typed one, and how sentences of them become a batch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from harness.models.keyboard._char_words import SPECIAL, UNKNOWN, Batch, characters
from harness.models.keyboard._near_words import NearWords
from harness.models.lms._word_pieces import pieces

IGNORED = -100  # what cross_entropy leaves out
LETTER = re.compile(r"[^\W\d_]")


@final
class Lexicon:
    """The lower-cased words that occur twice or more in the clean texts, the most frequent ones first.

    Words that occur once stay unknown, so that a network sees in training how often a strange word is right as typed.
    """

    def __init__(self, counts: Mapping[str, int], largest: int, candidates: int) -> None:
        ranked = sorted((word for word in counts if counts[word] > 1), key=lambda word: (-counts[word], word))
        self.words = tuple(ranked[:largest])
        self.counts = {word: counts[word] for word in self.words}
        self.size = len(self.words) + SPECIAL
        self._ids = {word: place for place, word in enumerate(self.words, SPECIAL)}
        self._near = NearWords((word for word in self.words if LETTER.search(word)), reach=1)
        self._most = candidates
        self._memory: dict[str, tuple[str, ...]] = {}

    def id(self, word: str) -> int:
        """The word's id, or that of all unknown words."""
        return self._ids.get(word, UNKNOWN)

    def candidates(self, typed: str) -> tuple[str, ...]:
        """The typed word itself, then the most frequent known words within one edit of it."""
        if typed not in self._memory:
            near = self._near.near(typed) if LETTER.search(typed) else {}
            others = sorted((word for word in near if word != typed), key=lambda word: (-self.counts[word], word))
            self._memory[typed] = (typed, *others[: self._most - 1])
        return self._memory[typed]

    def batch(self, rows: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Batch:
        """A batch of (typed, meant) words of sentences, as they are; both are equally many, at least one."""
        places: dict[str, int] = {}

        def place(word: str) -> int:
            return places.setdefault(word, len(places))

        typed = [[bare(word) for word in row] for row, _ in rows]
        meant = [[bare(word) for word in row] for _, row in rows]
        offered = [[self.candidates(word) for word in row] for row in typed]
        most = max(len(words) for row in offered for words in row)
        # a true word that is no candidate cannot be restored: the typed one then does least harm
        choice = [
            [words.index(word) if word in words else 0 for words, word in zip(row, true, strict=True)]
            for row, true in zip(offered, meant, strict=True)
        ]
        shown = [[[place(word) for word in words] + [-1] * (most - len(words)) for words in row] for row in offered]
        typed_BS, meant_BS = (padded([[place(word) for word in row] for row in side], 0) for side in (typed, meant))
        longest = typed_BS.shape[1]
        return Batch(
            characters(list(places)),
            torch.tensor([self.id(word) for word in places]),
            typed_BS,
            padded([[float(word.strip()[:1].isupper()) for word in row] for row, _ in rows], 0.0),
            torch.tensor([row + [[0] + [-1] * (most - 1)] * (longest - len(row)) for row in shown]),
            torch.tensor([len(row) for row in typed]),
            meant_BS,
            padded(choice, IGNORED),
        )


def counted(texts: Iterable[str]) -> Counter[str]:
    """How often each lower-cased word occurs."""
    return Counter(bare(word) for text in texts for word, _ in pieces(text))


def bare(word: str) -> str:
    """The word in lower case, without the space before it (a space alone stays)."""
    return word.lower().removeprefix(" ") or word


def space(word: str) -> str:
    """The space before a word, if there is one that `bare` takes away."""
    return " " if word.startswith(" ") and len(word) > 1 else ""


def padded(rows: Sequence[Sequence[float]], filler: float) -> Tensor:
    """A rectangle [B, S]."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])
