"""published_effect: the effect that a paper reports for the same items, to stand beside one's own."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response


@metric(version=1, paper="Huang et al. 2024, Journal of Memory and Language 137")
class PublishedEffect(MeanMetric):
    """The target's effect summed over regions: ms of reading time (human), bits of surprisal (gpt2, lstm).

    It depends on the items alone, never on the model.
    """

    reference: str  # a key of the target

    higher_is_better = True

    @property
    def name(self) -> str:
        """Column name."""
        return f"published_{self.reference}"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """This item's published effect."""
        return float(sum(example.target[self.reference]))
