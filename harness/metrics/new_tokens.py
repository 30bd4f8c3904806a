"""new_tokens: how many tokens an example's answers are long."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._generated import generated


@metric(version=1)
class NewTokens(MeanMetric):
    """True new tokens up to (and without) the first EOS, over all turns of an example; mean over examples."""

    higher_is_better = True
    unit = "tokens"

    @property
    def name(self) -> str:
        """Column name."""
        return "new_tokens"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Tokens over the turns."""
        return float(sum(len(answer.tokens) for answer in generated(self.name, responses)))
