"""Which letters of a restored word are capitals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.models.lms._word_pieces import pieces


@dataclass(frozen=True, slots=True)
class Casing:
    """How words are capitalised: the usual form of each, and whether sentences begin with a capital."""

    usual: Mapping[str, str]
    capital_start: bool


def casing(texts: Sequence[str]) -> Casing:
    """Counted inside sentences, where capitals mean something."""
    forms: dict[str, Counter[str]] = {}
    starts = 0
    for text in texts:
        words = [piece for piece, _ in pieces(text)]
        starts += bool(words) and words[0][:1].isupper()
        for word in words[1:]:
            if word.lower() != word:
                forms.setdefault(word.lower(), Counter())[word] += 1
            elif word in forms:
                forms[word][word] += 1
    usual = {word: count.most_common(1)[0][0] for word, count in forms.items()}
    return Casing(usual, starts > 0.9 * len(texts))


def cased(typed: str, intended: str, first: bool, case: Casing) -> str:
    """The intended word with the typed one's capitals if it is the same word, else with those it should have."""
    if typed.lower() == intended:
        return typed
    if typed.strip()[0].isupper() or (first and case.capital_start):
        space = intended[: len(intended) - len(intended.lstrip())]
        word = intended.lstrip()
        return space + word[:1].upper() + word[1:]
    return case.usual.get(intended, intended)
