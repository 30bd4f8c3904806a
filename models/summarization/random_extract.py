"""How good a summary sentences drawn at random are."""

from __future__ import annotations

from collections.abc import Mapping

from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.summarization._extract import Extractor, Unit


@model(
    doors=("generate",),
    paper="none",
    licence="Apache-2.0",
    decodes=False,
    differs="none",
)
class RandomExtract:
    """Repeats `k` sentences drawn without replacement from the request's own seed, in the source's order.

    Differs from the paper: none.
    """

    k: int = 3
    unit: Unit = "auto"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"random_extract repeats at least one sentence, not k={self.k}.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Nothing to identify but the rule."""
        return {"rule": "random_extract"}

    def load(self, setting: Setting) -> Extractor:
        """Nothing to load."""
        return Extractor(
            lambda parts, rng: rng.permutation(len(parts))[: self.k].tolist(),
            self.unit,
            {"k": self.k},
        )
