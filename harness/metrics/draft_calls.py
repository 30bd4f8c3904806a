"""draft_calls: how often a draft model ran for each call of the target model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.metrics import Array, TotalsMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._generated import generated


@metric(version=1, paper="Leviathan, Kalman, Matias 2023, Fast Inference from Transformers, arXiv:2211.17192")
class DraftCalls(TotalsMetric):
    """Calls of a draft model (or of a draft's table) per target call after the prefill; 0 where nothing drafts so."""

    higher_is_better = False
    unit = "calls/call"

    @property
    def name(self) -> str:
        """Column name."""
        return "draft_calls"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Draft calls and target calls over the example's turns."""
        answers = generated(self.name, responses)
        calls = sum(len(answer.accepted) for answer in answers)
        drafts = sum(answer.extra.get("draft_calls", 0.0) for answer in answers)
        return np.array([drafts, calls], dtype=np.float64) if calls else np.full(2, np.nan)

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Draft calls over target calls."""
        return np.asarray(totals[..., 0] / totals[..., 1])
