"""How are sacrebleu's metrics kept as per-sentence statistics, so that resampling is exact? By its sums."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.api.errors import HarnessError
from harness.api.metrics import Array, TotalsMetric
from harness.api.types import Example, Response
from harness.metrics._texts import texts


class SacrebleuMetric(TotalsMetric):
    """A corpus score of sacrebleu from the sums of its own per-segment statistics."""

    unit = "%"

    @property
    @abstractmethod
    def engine(self) -> Any:
        """The sacrebleu metric object; made once for each set of parameters."""

    @property
    @abstractmethod
    def reference_count(self) -> int:
        """References of every example; 0 when it varies."""

    @property
    def signature(self) -> str:
        """Sacrebleu's own signature."""
        engine = self.engine
        engine.num_refs = self.reference_count or -1
        return str(engine.get_signature())

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Sacrebleu's statistics of one segment."""
        hypothesis, references = texts(self.name, example, responses)
        if self.reference_count not in (0, len(references)):
            raise HarnessError(
                f"{self.name}: references is {self.reference_count} but example {example.id!r} has {len(references)}; "
                f"set references={len(references)}, or 0 if it varies."
            )
        # segment statistics are public only in sum, so this reaches below sacrebleu's interface; a test pins it
        rows = self.engine._extract_corpus_statistics([hypothesis], [[reference] for reference in references])
        return np.array(rows[0], dtype=np.float64)

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Sacrebleu's score of each row of sums."""
        rows = totals.reshape(-1, totals.shape[-1])
        scores = [self.engine._compute_score_from_stats([float(item) for item in row]).score for row in rows]
        return np.array(scores).reshape(totals.shape[:-1])
