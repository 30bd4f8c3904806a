"""mean_accepted_tokens: how many tokens one call of the target model yields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.metrics import Array, TotalsMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._generated import generated


@metric(version=1, paper="Xia et al. 2024, Unlocking Efficiency in LLM Inference, arXiv:2401.07851")
class MeanAcceptedTokens(TotalsMetric):
    """Tokens emitted over target calls after the prefill, in total over all examples; 1 for plain decoding.

    A ratio of totals, so that a long answer weighs as much as it takes. An example without a call (nothing was
    asked for) does not count.
    """

    higher_is_better = True
    unit = "tokens/call"

    @property
    def name(self) -> str:
        """Column name."""
        return "mean_accepted_tokens"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Tokens and calls over the example's turns."""
        steps = [step for answer in generated(self.name, responses) for step in answer.accepted]
        return np.array([sum(steps), len(steps)], dtype=np.float64) if steps else np.full(2, np.nan)

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Tokens over calls."""
        return np.asarray(totals[..., 0] / totals[..., 1])
