"""bits_per_byte: negative log2-probability a byte: what a compressor with this model would need."""

from __future__ import annotations

from math import inf, log

import numpy as np

from harness.api.metrics import Array
from harness.api.registry import metric
from harness.metrics._likelihood import Likelihood, Unit


@metric(version=1, paper="Gao et al. 2021, lm-evaluation-harness")
class BitsPerByte(Likelihood):
    """-sum log2 p / sum of UTF-8 bytes, lm-eval's `bits_per_byte`."""

    scale = (inf, 0.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "bits_per_byte"

    @property
    def per(self) -> Unit:
        """Divisor."""
        return "byte"

    def from_rate(self, nats: Array) -> Array:
        """Value of a mean."""
        return np.asarray(nats / log(2.0))
