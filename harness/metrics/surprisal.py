"""surprisal: mean negative log-probability a token, word, byte or text."""

from __future__ import annotations

from math import inf, log
from typing import Literal

import numpy as np

from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._likelihood import Likelihood, Unit


@metric(version=1, paper="Hale 2001")
class Surprisal(Likelihood):
    """-sum log p / sum of units, in bits or nats."""

    by: Unit = "token"
    base: Literal["bits", "nats"] = "bits"

    scale = (inf, 0.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "surprisal"

    @property
    def signature(self) -> str:
        """Name, unit and base."""
        return f"surprisal|per:{self.by}|in:{self.base}"

    @property
    def per(self) -> Unit:
        """Divisor."""
        return self.by

    def from_rate(self, nats: Array) -> Array:
        """Value of a mean."""
        return nats if self.base == "nats" else np.asarray(nats / log(2.0))
