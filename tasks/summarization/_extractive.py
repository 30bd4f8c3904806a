"""How well could sentences of the source alone summarise it? The greedy oracle, which sees the references.

No model is ever given a reference, so this ceiling is computed beside the tasks
(benchmarks/extractive_ceiling.py) and is no row of a leaderboard.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

_WORD = re.compile(r"[a-z0-9]+")  # rouge-score's tokens, without stems
_END = re.compile(r"(?<=[.!?])\s+")


def sentences(text: str) -> list[str]:
    """Lines, or sentences where lines are paragraphs (a blank line between them) or there is one line only."""
    lines = [line.strip() for line in text.split("\n")]
    inner = lines[1:-1]
    filled = [line for line in lines if line]
    if len(filled) > 1 and "" not in inner:
        return filled
    return [part.strip() for line in filled for part in _END.split(line) if part.strip()]


def greedy(source: str, references: Sequence[str], most: int = 3) -> list[str]:
    """Sentences that together come near a reference: each next one raises ROUGE-1 + ROUGE-2 (F) most, or none is taken.

    Of several references the one that is approached best counts. Nallapati, Zhai, Zhou 2017, section 3.
    """
    parts = sentences(source)
    grams = [_grams([part]) for part in parts]
    best: tuple[float, list[int]] = (0.0, [])
    for reference in references:
        wanted = _grams(sentences(reference))
        chosen: list[int] = []
        reached = 0.0
        while len(chosen) < most:
            rest = [place for place in range(len(parts)) if place not in chosen]
            scored = [(_closeness([grams[place] for place in (*chosen, new)], wanted), -new) for new in rest]
            top = max(scored, default=(0.0, 0))
            if top[0] <= reached:
                break
            reached, chosen = top[0], [*chosen, -top[1]]
        best = max(best, (reached, sorted(chosen)), key=lambda item: item[0])
    return [parts[place] for place in best[1]]


Grams = tuple[Counter[tuple[str, ...]], Counter[tuple[str, ...]]]


def _grams(texts: Iterable[str]) -> Grams:
    words = [_WORD.findall(text.lower()) for text in texts]
    singles: Counter[tuple[str, ...]] = Counter((word,) for row in words for word in row)
    pairs: Counter[tuple[str, ...]] = Counter(pair for row in words for pair in pairwise(row))
    return singles, pairs


def _closeness(chosen: Sequence[Grams], wanted: Grams) -> float:
    total = 0.0
    for order in (0, 1):
        have: Counter[tuple[str, ...]] = Counter()
        for grams in chosen:
            have.update(grams[order])
        shared = sum((have & wanted[order]).values())
        size = sum(have.values()) + sum(wanted[order].values())
        total += 2.0 * shared / size if size else 0.0
    return total
