"""acc_norm: multiple-choice accuracy by log-probability a character (or byte) of the choice, as lm-eval has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Response, Score
from harness.metrics._choices import hit, totals


@metric(version=1, paper="Gao et al. 2021, lm-evaluation-harness")
class NormalisedAccuracy(MeanMetric):
    """1 when argmax_i log p(choice_i) / length(choice_i) is the target.

    lm-eval's `acc_norm` counts characters and its `acc_bytes` UTF-8 bytes, both without the blank that joins the
    choice to its question; so leading white space of a continuation does not count here.
    """

    unit: Literal["character", "byte"] = "character"

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """lm-eval's name."""
        return "acc_norm" if self.unit == "character" else "acc_bytes"

    @property
    def signature(self) -> str:
        """Name and unit of length."""
        return f"{self.name}|length:{self.unit}"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Compare the normalised log-probabilities."""
        choices = [request.continuation.lstrip() for request in example.requests if isinstance(request, Score)]
        if len(choices) != len(responses):
            raise TypeError(f"acc_norm measures one Score request a choice; {example.id!r} has other requests.")
        if self.unit == "character":
            lengths = [len(choice) for choice in choices]
        else:
            lengths = [len(choice.encode("utf-8", "surrogatepass")) for choice in choices]
        return hit(totals(self.name, responses) / np.maximum(lengths, 1), example.target)
