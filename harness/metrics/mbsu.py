"""mbsu: the speed-up that memory traffic alone would allow, if a call cost what its weights take to read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.metrics import Array, TotalsMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._generated import generated


@metric(version=1, paper="Jeon et al. 2024, Recursive Speculative Decoding, arXiv:2402.14160")
class Mbsu(TotalsMetric):
    """Memory-bound speed-up tau / (1 + c L).

    tau tokens per target call, L draft calls for each of them, c the draft's parameters over the target's. A draft
    without weights has c = 0, so that its bound is tau.
    """

    higher_is_better = True
    unit = "x"

    @property
    def name(self) -> str:
        """Column name."""
        return "mbsu"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Tokens, and calls weighted by the weights that they read, over the example's turns."""
        tokens = cost = 0.0
        for answer in generated(self.name, responses):
            tokens += sum(answer.accepted)
            drafts = answer.extra.get("draft_calls", 0.0)
            cost += len(answer.accepted) + drafts * answer.extra.get("draft_share", 0.0)
        return np.array([tokens, cost]) if cost else np.full(2, np.nan)

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Tokens over weighted calls."""
        return np.asarray(totals[..., 0] / totals[..., 1])
