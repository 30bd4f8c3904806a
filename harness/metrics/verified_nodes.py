"""verified_nodes: how many draft tokens the target model looked at in each call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.metrics import Array, TotalsMetric
from harness.api.registry import metric
from harness.api.types import Example, Response
from harness.metrics._generated import generated


@metric(version=1, paper="Miao et al. 2024, SpecInfer, arXiv:2305.09781")
class VerifiedNodes(TotalsMetric):
    """Draft tokens (nodes of the draft tree) verified per target call after the prefill; 0 for plain decoding."""

    higher_is_better = False
    unit = "nodes/call"

    @property
    def name(self) -> str:
        """Column name."""
        return "verified_nodes"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Draft tokens and calls over the example's turns."""
        answers = generated(self.name, responses)
        calls = sum(len(answer.accepted) for answer in answers)
        drafted = sum(answer.drafted for answer in answers)
        return np.array([drafted, calls], dtype=np.float64) if calls else np.full(2, np.nan)

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Draft tokens over calls."""
        return np.asarray(totals[..., 0] / totals[..., 1])
