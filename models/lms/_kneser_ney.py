"""What probability interpolated modified Kneser-Ney smoothing gives to the next symbol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

# V vocabulary, M positions, G different n-grams, C different contexts
Ids = NDArray[np.int64]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]

BOUNDARY = 0  # begins and ends every sequence
BITS = 16  # of one symbol in a packed context
MAX_ORDER = 64 // BITS + 1
MAX_VOCABULARY = 1 << BITS


@dataclass(frozen=True, slots=True)
class Level:
    """All n-grams of one length, grouped by their context."""

    contexts: Keys  # [C], sorted; the nearest symbol in the lowest bits
    starts: Ids  # [C + 1], where each context's n-grams begin
    symbols: Ids  # [G], sorted within a context
    discounted: Floats  # [G], (count - discount) / total
    backoff: Floats  # [C], the mass left for the shorter context


@final
class KneserNey:
    """Interpolated modified Kneser-Ney over symbols 0..V-1, of which 0 is the boundary of sequences.

    p_n(w | h) = max(c(hw) - D(c), 0) / c(h.) + b(h) p_{n-1}(w | h'), where c counts occurrences at the highest order
    and different left neighbours below it, D takes three values (c = 1, 2, 3 and more) estimated from the counts of
    counts, b(h) is the discounted mass, h' drops the oldest symbol, and p_0 is uniform: every symbol has a
    probability above 0 and they sum to 1.

    Chen, Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3.
    Differs from the paper: sequences begin with order - 1 boundary symbols, counted as any other left neighbour.
    """

    def __init__(self, sequences: Sequence[Ids], vocabulary: int, order: int) -> None:
        if not 1 <= order <= MAX_ORDER:
            raise ValueError(f"order={order}; it must be between 1 and {MAX_ORDER}.")
        if not 1 <= vocabulary <= MAX_VOCABULARY:
            raise ValueError(f"vocabulary={vocabulary}; it must be between 1 and {MAX_VOCABULARY}.")
        self.vocabulary, self.order = vocabulary, order
        contexts, symbols = _ngrams(sequences, order)
        counted = _count(contexts, symbols)
        levels: list[Level] = []
        for length in range(order, 0, -1):
            levels.append(_level(*counted))
            if length > 1:
                counted = _count(*_shorter(counted[0], counted[1], length))
        *longer, unigrams = levels
        self.levels = longer[::-1]
        self.base = np.full(vocabulary, unigrams.backoff[0] / vocabulary)
        self.base[unigrams.symbols] += unigrams.discounted

    def law(self, context: Sequence[int]) -> Floats:
        """p(. | context) [V]; a short context is padded with boundaries."""
        law = self.base.copy()
        for level, place in self._seen(context):
            law *= level.backoff[place]
            inside = slice(level.starts[place], level.starts[place + 1])
            law[level.symbols[inside]] += level.discounted[inside]
        return law

    def probability(self, context: Sequence[int], symbol: int) -> float:
        """p(symbol | context), without computing the others."""
        value = float(self.base[symbol])
        for level, place in self._seen(context):
            value *= float(level.backoff[place])
            start, stop = level.starts[place], level.starts[place + 1]
            found = start + int(np.searchsorted(level.symbols[start:stop], symbol))
            if found < stop and level.symbols[found] == symbol:
                value += float(level.discounted[found])
        return value

    def _seen(self, context: Sequence[int]) -> list[tuple[Level, int]]:
        """The levels whose context occurred in training, shortest first; beyond the first unseen one none did."""
        padded = [BOUNDARY] * (self.order - 1) + list(context)
        found = []
        key = 0
        for distance, level in enumerate(self.levels):
            key |= padded[-1 - distance] << (BITS * distance)
            place = int(np.searchsorted(level.contexts, np.uint64(key)))
            if place == len(level.contexts) or int(level.contexts[place]) != key:
                break
            found.append((level, place))
        return found


def _ngrams(sequences: Sequence[Ids], order: int) -> tuple[Keys, Ids]:
    """Every position's packed context [M] and symbol [M]; a sequence also predicts its closing boundary."""
    pad = np.full(order - 1, BOUNDARY, dtype=np.int64)
    end = np.array([BOUNDARY], dtype=np.int64)
    # no text at all is one empty sequence: everything is left to the uniform law
    sequences = sequences or [end[:0]]
    stream = np.concatenate([part for sequence in sequences for part in (pad, sequence, end)])
    predicted = np.concatenate(
        [np.r_[np.zeros(order - 1, dtype=bool), np.ones(len(sequence) + 1, dtype=bool)] for sequence in sequences]
    )
    places = np.flatnonzero(predicted)
    contexts = np.zeros(len(places), dtype=np.uint64)
    for distance in range(1, order):
        contexts |= stream[places - distance].astype(np.uint64) << np.uint64(BITS * (distance - 1))
    return contexts, stream[places]


def _count(contexts: Keys, symbols: Ids) -> tuple[Keys, Ids, Ids]:
    """Different (context, symbol) pairs in order, with how often each occurs."""
    order = np.lexsort((symbols, contexts))
    contexts, symbols = contexts[order], symbols[order]
    new = np.r_[True, (contexts[1:] != contexts[:-1]) | (symbols[1:] != symbols[:-1])]
    places = np.flatnonzero(new)
    return contexts[places], symbols[places], np.diff(np.r_[places, len(symbols)])


def _shorter(contexts: Keys, symbols: Ids, length: int) -> tuple[Keys, Ids]:
    """Each different n-gram of `length` without its oldest symbol: counting these counts left neighbours."""
    return contexts & np.uint64((1 << (BITS * (length - 2))) - 1), symbols


def _level(contexts: Keys, symbols: Ids, counts: Ids) -> Level:
    places = np.flatnonzero(np.r_[True, contexts[1:] != contexts[:-1]])
    starts = np.r_[places, len(contexts)]
    totals = np.add.reduceat(counts, places).astype(np.float64)
    taken = np.r_[0.0, _discounts(counts)][np.minimum(counts, 3)]
    return Level(
        contexts=contexts[places],
        starts=starts,
        symbols=symbols,
        discounted=(counts - taken) / np.repeat(totals, np.diff(starts)),
        backoff=np.add.reduceat(taken, places) / totals,
    )


def _discounts(counts: Ids) -> Floats:
    """D for counts of 1, 2, and 3 or more: k - (k + 1) Y n_{k+1} / n_k with Y = n_1 / (n_1 + 2 n_2)."""
    ones, twos, threes, fours = (float(np.sum(counts == count)) for count in (1, 2, 3, 4))
    if min(ones, twos, threes) == 0.0:
        # a toy corpus has no counts of counts to estimate from: absolute discounting by a half
        return np.full(3, 0.5)
    share = ones / (ones + 2 * twos)
    estimates = (1 - 2 * share * twos / ones, 2 - 3 * share * threes / twos, 3 - 4 * share * fours / threes)
    # noisy counts of counts may leave the range in which probabilities stay positive
    return np.array([np.clip(value, 0.05, count) for count, value in enumerate(estimates, 1)])
