"""rouge: ROUGE-1, -2, -L or -Lsum F-measure by rouge-score."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, final

from harness.api.errors import HarnessError
from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._texts import texts
from harness.metrics._words import words

Tokens = Literal["unicode", "rouge-score"]


@metric(version=2, paper="Lin 2004")
class Rouge(MeanMetric):
    """Mean over examples of the F-measure of n-grams (1, 2), longest common subsequence (L) or its union (Lsum), in %.

    Several references: the best F-measure (rouge-score's `score_multi`) or the mean over references. Lsum takes
    one sentence a line; `sentences=split` starts a new line after a full stop, ! or ? of any script, on both sides.

    `tokens=unicode` counts words of every script, and single letters where a script puts no space between words. On
    ASCII it equals rouge-score, whose own tokens (`tokens=rouge-score`) are a-z and 0-9 alone: an accent ends a word
    there, and a reference without such letters is refused rather than matched by nothing.

    Errors: HarnessError where rouge-score's tokens leave nothing of a reference that has letters.
    """

    which: Literal["1", "2", "L", "Lsum"] = "L"
    stem: bool = True  # Porter, as in the summarization papers' pyrouge runs
    reference: Literal["best", "mean"] = "best"
    sentences: Literal["line", "split"] = "split"  # matters to Lsum alone
    tokens: Tokens = "unicode"

    higher_is_better = True
    unit = "%"
    scale = (0.0, 100.0)

    @property
    def name(self) -> str:
        """rouge1, rouge2, rougeL or rougeLsum."""
        return f"rouge{self.which}"

    @property
    def signature(self) -> str:
        """Everything that could change the value, rouge-score's version included."""
        from importlib.metadata import version

        split = f"|sentences:{self.sentences}" if self.which == "Lsum" else ""
        rules = f"tok:{self.tokens}|stem:{'yes' if self.stem else 'no'}|refs:{self.reference}{split}"
        return f"{self.name}|f|{rules}|rouge-score:{version('rouge-score')}|version:2"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """F-measure in %."""
        hypothesis, references = texts(self.name, example, responses)
        if self.which == "Lsum" and self.sentences == "split":
            hypothesis, references = _lines(hypothesis), [_lines(reference) for reference in references]
        if self.tokens == "rouge-score":
            for reference in references:
                _require_ascii_letters(example.id, reference)
        scorer = _scorer(self.name, self.stem, self.tokens)
        scores = [float(scorer.score(reference, hypothesis)[self.name].fmeasure) for reference in references]
        return 100.0 * (max(scores) if self.reference == "best" else sum(scores) / len(scores))


@final
class _UnicodeTokens:
    """What rouge-score asks of a tokenizer: words of any script, Porter's stems where they are ASCII."""

    def __init__(self, stem: bool) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        self._english = DefaultTokenizer(stem)

    def tokenize(self, text: str) -> list[str]:
        """Words in their order."""
        if text.isascii():
            return list(self._english.tokenize(text))
        # Porter's rules are English
        return [part for word in words(text) for part in (self._english.tokenize(word) if word.isascii() else [word])]


def _require_ascii_letters(example: str, text: str) -> None:
    if any(letter.isalpha() for letter in text) and not re.search("[A-Za-z0-9]", text):
        raise HarnessError(
            f"rouge: tokens=rouge-score leaves nothing of a reference of example {example!r} ({text[:20]!r}): it "
            "keeps a-z and 0-9 alone; use tokens=unicode."
        )


def _lines(text: str) -> str:
    # an ideographic full stop needs no space after it
    return re.sub(
        r"(?<=[.!?\u06d4\u061f\u0964\u0965\u1362])\s+|(?<=[\u3002\uff01\uff1f])\s*", "\n", text.strip()
    ).strip()


@cache
def _scorer(kind: str, stem: bool, tokens: Tokens) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    if tokens == "rouge-score":
        return RougeScorer([kind], use_stemmer=stem)
    return RougeScorer([kind], tokenizer=_UnicodeTokens(stem))
