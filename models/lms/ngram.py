"""What a language model without a network reaches: word n-grams with Kneser-Ney smoothing, trained in a second."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter, Setting
from harness.api.registry import model
from harness.api.types import Failure, Generate, Generated, Prompt, Request, Response, Score, Scored
from harness.models.lms._kneser_ney import MAX_ORDER, MAX_VOCABULARY, KneserNey
from harness.models.lms._ngram_law import LONGEST, NgramLaw
from harness.models.lms._prompt import plain
from harness.models.lms._training_prose import paragraphs
from harness.models.lms._word_pieces import UNKNOWN, WordPieces, pieces, spelling, vocabulary_of

SPELLING_ORDER = 5  # bytes of context 4: pieces are short
VERSION = "1"


@model(
    doors=("generate", "score"),
    paper="Chen, Goodman 1999, An empirical study of smoothing techniques for language modeling",
    licence="Apache-2.0; trained on the Python documentation (PSF licence) unless corpus= is given",
    decodes=True,
    differs="unknown words are spelled by a second Kneser-Ney model over bytes",
)
class Ngram:
    """A word n-gram model (interpolated modified Kneser-Ney) trained on load: the honest weak baseline.

    The corpus is the prose of `pydoc_data.topics` (about 300 kB of English in the standard library, whose text differs
    between Python versions; the digest says which) or the UTF-8 file `corpus`. Training takes about a second, so no
    table is stored. Words seen once are unknown and are spelled in bytes: every string has a probability.

    Chen, Goodman 1999, "An empirical study of smoothing techniques for language modeling".
    Differs from the paper: byte-level spelling of unknown words instead of one unknown symbol.
    """

    order: int = 4  # words, the predicted one included
    corpus: Path | None = None
    at_least: int = 2  # occurrences that make a word known

    def __post_init__(self) -> None:
        """Refuse sizes that the tables do not hold."""
        if not 1 <= self.order <= MAX_ORDER:
            raise ValueError(f"order={self.order}; it must be between 1 and {MAX_ORDER}.")
        if self.at_least < 2:
            raise ValueError("at_least must be 2 or more: the rarer words teach the model to spell unknown ones.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The corpus and the version of this code."""
        return {"corpus": _digest(paragraphs(self.corpus)), "version": VERSION}

    def load(self, setting: Setting) -> NgramModel:
        """Train; DataError when the corpus cannot be read, or repeats too little to learn words and spelling from."""
        texts = paragraphs(self.corpus)
        known, rare = vocabulary_of(texts, self.at_least, MAX_VOCABULARY - 2)
        sequences = [
            np.array([known.index.get(piece, UNKNOWN) for piece, _ in pieces(text)], dtype=np.int64) for text in texts
        ]
        # every known word is spelled too where all words are frequent, so that the byte model is never empty
        spelled = [np.array(spelling(piece)[:-1], dtype=np.int64) for piece in rare or known.words]
        law = NgramLaw(
            known,
            KneserNey(sequences, known.word_symbols, self.order),
            KneserNey(spelled, 257, SPELLING_ORDER),
        )
        return NgramModel(law, {"corpus": _digest(texts), "corpus_pieces": sum(map(len, sequences))})


@final
class NgramModel:
    """The trained model at its two doors."""

    def __init__(self, law: NgramLaw, facts: Mapping[str, Any]) -> None:
        self.law, self._facts = law, facts

    @property
    def identity(self) -> Mapping[str, Any]:
        """Sizes of the tables."""
        return {
            "parameters": sum(len(level.symbols) + len(level.contexts) for level in self.law.words.levels),
            "vocabulary": self.law.vocabulary,
            "context_length": LONGEST,
            "backend": "numpy",
            "dtype": "float64",
            "device": "cpu",
            **self._facts,
        }

    def size(self, request: Request) -> int:
        """Characters over four; exact sizes do not matter to a model without padding."""
        if isinstance(request, Score):
            return 1 + (len(request.context) + len(request.continuation)) // 4
        if isinstance(request, Generate) and not isinstance(request.source, np.ndarray):
            return 1 + len(plain(request)) // 4 + request.max_new_tokens
        return 1

    def score(self, requests: Sequence[Score], *, meter: Meter) -> list[Response]:
        """One log-probability a piece (word with its leading space, digit, mark), known or spelled."""
        responses: list[Response] = []
        with meter.span("score"):
            for request in requests:
                responses.append(self._score(request))
                meter.count("model_calls")
        return responses

    def generate(
        self, requests: Sequence[Generate], *, decoder: Decoder | None, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        """Continue the plain text of instruction, shots and source."""
        if decoder is None:
            raise UsageError("lms/ngram needs a decoder to generate; name one, such as greedy.")
        responses: list[Response] = [Failure("lms/ngram continues text, not arrays.") for _ in requests]
        readable = [index for index, item in enumerate(requests) if not isinstance(item.source, np.ndarray)]
        prompts = [self._prompt(requests[index]) for index in readable]
        decoded = decoder.decode(self.law, prompts, seeds=[seeds[index] for index in readable], meter=meter)
        for index, prompt, result in zip(readable, prompts, decoded, strict=True):
            text = self.law.pieces.decode(result.tokens)
            cut = _stop_place(text, requests[index].stop)
            responses[index] = Generated(
                text=text if cut is None else text[:cut],
                tokens=result.tokens,
                prompt_tokens=len(prompt.tokens),
                accepted=result.accepted,
                calls=result.calls,
                drafted=result.drafted,
                finished=result.finished if cut is None else "stop",
                extra=result.extra,
            )
        return responses

    def _score(self, request: Score) -> Scored:
        words: WordPieces = self.law.pieces
        history = [words.index.get(piece, UNKNOWN) for piece, _ in pieces(request.context)]
        ids = words.encode(request.context)
        greedy = True
        logprobs, spans = [], []
        for piece, span in pieces(request.continuation):
            symbol = words.index.get(piece, UNKNOWN)
            spelled = spelling(piece) if symbol == UNKNOWN else []
            logprobs.append(self.law.piece(history, symbol, spelled))
            spans.append(span)
            history.append(symbol)
            for token in [words.word_symbols + part for part in spelled] or [symbol]:
                # the whole law is needed only while every token so far was the likeliest
                greedy = greedy and int(np.argmax(self.law.law(ids))) == token
                ids.append(token)
        return Scored(tuple(logprobs), tuple(spans), greedy)

    def _prompt(self, request: Generate) -> Prompt:
        words = self.law.pieces

        def finished(tokens: Sequence[int]) -> bool:
            return _stop_place(words.decode(tokens), request.stop) is not None

        tokens = tuple(words.encode(plain(request)))
        return Prompt(tokens, request.max_new_tokens, finished if request.stop else None)


def _stop_place(text: str, stop: Sequence[str]) -> int | None:
    places = [text.find(mark) for mark in stop if mark in text]
    return min(places) if places else None


def _digest(texts: Sequence[str]) -> str:
    joined = "\n".join(texts).encode("utf-8", "surrogatepass")
    return "sha256:" + hashlib.sha256(joined).hexdigest()
