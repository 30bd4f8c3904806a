"""How good a summary the sentences are that a walk along shared words visits most."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, final

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.summarization._extract import Extractor, Unit

_WORD = re.compile(r"[^\W_]+")


@model(
    doors=("generate",),
    paper="Mihalcea, Tarau 2004, TextRank: Bringing Order into Texts, W04-3252",
    licence="Apache-2.0 (sumy)",
    decodes=False,
    differs="sumy's implementation, with English stems and stop words; sentences and words are split here.",
)
class Textrank:
    """Repeats the `k` sentences of highest PageRank in the graph of shared words, by sumy (extra [extractive]).

    Differs from the paper: sumy's damping and normalisation; sentences are what `unit` says.
    """

    k: int = 3
    unit: Unit = "auto"
    language: str = "english"  # of stems and stop words

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"textrank repeats at least one sentence, not k={self.k}.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The library's version."""
        return {"sumy": _version()}

    def load(self, setting: Setting) -> Extractor:
        """Put the summariser up."""
        _version()
        return Extractor(_Ranking(self.k, self.language), self.unit, {"k": self.k, "sumy": _version()})


@final
class _Ranking:
    """Sumy's TextRank as a rule that picks sentences."""

    def __init__(self, k: int, language: str) -> None:
        from sumy.nlp.stemmers import Stemmer
        from sumy.summarizers.text_rank import TextRankSummarizer
        from sumy.utils import get_stop_words

        self._k = k
        self._summariser = TextRankSummarizer(Stemmer(language))
        self._summariser.stop_words = get_stop_words(language)

    def __call__(self, parts: Sequence[str], rng: np.random.Generator) -> Iterable[int]:
        from sumy.models.dom import ObjectDocumentModel, Paragraph, Sentence

        words = _Words()
        document = ObjectDocumentModel([Paragraph([Sentence(part, words) for part in parts])])
        ranks = self._summariser.rate_sentences(document)
        scores = [float(ranks[sentence]) for sentence in document.sentences]
        # equal scores go to the earlier sentence
        return sorted(range(len(parts)), key=lambda place: (-scores[place], place))[: self._k]


@final
class _Words:
    """A tokenizer for sumy that needs no downloaded model."""

    def to_words(self, sentence: Any) -> tuple[str, ...]:
        """Runs of letters and digits."""
        return tuple(_WORD.findall(str(sentence)))


def _version() -> str:
    try:
        return version("sumy")
    except PackageNotFoundError as problem:
        raise UsageError(
            "summarization/textrank needs sumy; install the extra: pip install seqharness[extractive]"
        ) from problem
