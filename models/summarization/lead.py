"""How good a summary the first sentences are."""

from __future__ import annotations

from collections.abc import Mapping

from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.summarization._extract import Extractor, Unit


@model(
    doors=("generate",),
    paper="Nallapati, Zhai, Zhou 2017, SummaRuNNer, arXiv:1611.04230 (as the baseline LEAD-3)",
    licence="Apache-2.0",
    decodes=False,
    differs="A sentence is a line, or ends in . ! ? where lines are paragraphs.",
)
class Lead:
    """Repeats the first `k` sentences (of a dialogue: the first turns); lead-3 is hard to beat on news.

    Differs from the paper: a sentence is what `unit` says.
    """

    k: int = 3
    unit: Unit = "auto"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"lead repeats at least one sentence, not k={self.k}.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Nothing to identify but the rule."""
        return {"rule": "lead"}

    def load(self, setting: Setting) -> Extractor:
        """Nothing to load."""
        return Extractor(lambda parts, rng: range(min(self.k, len(parts))), self.unit, {"k": self.k})
