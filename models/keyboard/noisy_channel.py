"""What a corrector reaches that knows the true error model and a bigram model of the language."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import final

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget, Example
from harness.models.keyboard._corrector import Corrector, text_pairs
from harness.models.keyboard._near_words import NearWords
from harness.models.keyboard._touch_channel import TouchChannel, estimate
from harness.models.keyboard._word_casing import Casing, cased, casing
from harness.models.lms._kneser_ney import MAX_VOCABULARY, KneserNey
from harness.models.lms._ngram_law import NgramLaw
from harness.models.lms._training_prose import documentation
from harness.models.lms._word_pieces import UNKNOWN, pieces, spelling, vocabulary_of

SPELLING_ORDER = 5  # bytes


@model(
    doors=("generate",),
    paper="Kernighan, Church, Gale 1990, A Spelling Correction Program Based on a Noisy Channel Model",
    licence="Apache-2.0",
    learns=True,
    decodes=False,
    differs="the channel is the touch-error model itself with rates counted on the training split",
)
class NoisyChannel:
    """argmax over sentences w of p(w) P(typed | w), with a bigram p and the channel that made the errors.

    p is Kneser-Ney over lower-cased words, unknown ones spelled in bytes; P allows one touch error a word, its rates
    are counted on the training pairs, so it is the true error model up to counting noise: the upper reference among
    the correctors that look one word back. Exact search (Viterbi) over the `candidates` likeliest words a place.

    Kernighan, Church, Gale 1990; Mays, Damerau, Mercer 1991, "Context based spelling correction".
    Differs from the paper: the touch-error channel instead of confusion matrices.
    """

    order: int = 2  # words of the language model, the predicted one included
    candidates: int = 24  # words considered at each place
    documentation: bool = False  # also train the language model on the Python documentation

    def __post_init__(self) -> None:
        """Refuse what the search does not do."""
        if self.order not in (1, 2):
            raise ValueError(f"order={self.order}; the search looks back one word at most.")
        if self.candidates < 1:
            raise ValueError("candidates must be at least 1.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Version of the rules."""
        return {"version": "1"}

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> Corrector:
        """Count errors and words; the budget is not needed."""
        with meter.span("train"):
            pairs = list(text_pairs(train))
            if not pairs:
                raise UsageError("keyboard/noisy_channel learns from the training split, which is empty.")
            texts = [clean for _, clean in pairs] + (documentation() if self.documentation else [])
            channel = estimate(pairs)
            search = Search(language(texts, self.order), channel, casing(texts), self.candidates)
        facts = {"parameters": len(search.law.words.levels[-1].symbols) if search.law.words.levels else 0}
        rates = {f"share_{name}": round(share, 4) for name, share in channel.shares.items()}
        return Corrector(search.correct, {**facts, "per_word": round(channel.per_word, 4), **rates})


def language(texts: Sequence[str], order: int) -> NgramLaw:
    """The language model; each sentence with once-seen words is counted again with those words unknown.

    That gives unknown words their share of the mass while once-seen words stay candidates.
    """
    lowered = [text.lower() for text in texts]
    known, _ = vocabulary_of(lowered, 1, MAX_VOCABULARY - 2)
    counts = Counter(piece for text in lowered for piece, _ in pieces(text))
    sequences = []
    for text in lowered:
        symbols = [known.index.get(piece, UNKNOWN) for piece, _ in pieces(text)]
        rare = [
            UNKNOWN if counts[piece] == 1 else symbol for symbol, (piece, _) in zip(symbols, pieces(text), strict=True)
        ]
        sequences.append(np.array(symbols, dtype=np.int64))
        if rare != symbols:
            sequences.append(np.array(rare, dtype=np.int64))
    spelled = [np.array(spelling(piece)[:-1], dtype=np.int64) for piece in known.words if counts[piece] == 1]
    letters = KneserNey(spelled or [np.array([1], dtype=np.int64)], 257, SPELLING_ORDER)
    return NgramLaw(known, KneserNey(sequences, known.word_symbols, order), letters)


@final
class Search:
    """Viterbi over candidate words."""

    def __init__(self, law: NgramLaw, channel: TouchChannel, case: Casing, candidates: int) -> None:
        self.law, self.channel, self.case, self.width = law, channel, case, candidates
        # a piece that begins a text has no space; its candidates come from the words that follow one too
        self._near = NearWords({word.strip() for word in law.pieces.words if re.search(r"[a-z]", word)}, reach=1)

    def correct(self, text: str) -> str:
        """The likeliest intended sentence; white space and marks stay."""
        typed = [piece for piece, _ in pieces(text)]
        places = [self._options(piece.lower()) for piece in typed]
        best: dict[str, tuple[float, tuple[str, ...]]] = {"": (0.0, ())}
        for options in places:
            reached: dict[str, tuple[float, tuple[str, ...]]] = {}
            for before, (score, path) in best.items():
                history = [self.law.pieces.index.get(before, UNKNOWN)] if path else []
                for word, error in options:
                    total = score + error + self._language(history, word)
                    if word not in reached or total > reached[word][0]:
                        reached[word] = (total, (*path, word))
            best = reached
        if not typed:
            return text
        path = max(best.values())[1]
        return "".join(
            cased(old, new, place == 0, self.case) for place, (old, new) in enumerate(zip(typed, path, strict=True))
        )

    def _options(self, typed: str) -> list[tuple[str, float]]:
        """Intended words for a typed one, with ln P(typed | word); the typed one is always among them."""
        space, word = (" ", typed[1:]) if typed.startswith(" ") else ("", typed)
        if not re.search(r"[a-z]", word):
            return [(typed, 0.0)]
        options = {}
        for known in {word, *self._near.near(word)}:
            chance = self.channel.probability(word, known)
            if chance > 0.0:
                options[space + known] = math.log(chance)
        ranked = sorted(options, key=lambda piece: (-options[piece] - self._language([], piece), piece))
        kept = ranked[: self.width]
        return [(piece, options[piece]) for piece in dict.fromkeys([*kept, typed])]

    def _language(self, history: Sequence[int], piece: str) -> float:
        symbol = self.law.pieces.index.get(piece, UNKNOWN)
        return self.law.piece(history, symbol, spelling(piece) if symbol == UNKNOWN else [])
