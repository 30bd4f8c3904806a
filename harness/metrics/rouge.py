"""rouge: ROUGE-1, -2, -L or -Lsum F-measure by rouge-score."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._texts import texts


@metric(version=1, paper="Lin 2004")
class Rouge(MeanMetric):
    """Mean over examples of the F-measure of n-grams (1, 2), longest common subsequence (L) or its union (Lsum), in %.

    Several references: the best F-measure (rouge-score's `score_multi`) or the mean over references. Lsum takes
    one sentence a line; `sentences=split` starts a new line after . ! or ? and white space, on both sides.
    """

    which: Literal["1", "2", "L", "Lsum"] = "L"
    stem: bool = True  # Porter, as in the summarization papers' pyrouge runs
    reference: Literal["best", "mean"] = "best"
    sentences: Literal["line", "split"] = "split"  # matters to Lsum alone

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
        rules = f"stem:{'yes' if self.stem else 'no'}|refs:{self.reference}{split}"
        return f"{self.name}|f|{rules}|rouge-score:{version('rouge-score')}"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """F-measure in %."""
        hypothesis, references = texts(self.name, example, responses)
        if self.which == "Lsum" and self.sentences == "split":
            hypothesis, references = _lines(hypothesis), [_lines(reference) for reference in references]
        scorer = _scorer(self.name, self.stem)
        scores = [float(scorer.score(reference, hypothesis)[self.name].fmeasure) for reference in references]
        return 100.0 * (max(scores) if self.reference == "best" else sum(scores) / len(scores))


def _lines(text: str) -> str:
    return re.sub(r"(?<=[.!?])\s+", "\n", text.strip())


@cache
def _scorer(kind: str, stem: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], use_stemmer=stem)
