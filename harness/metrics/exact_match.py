"""exact_match: the share of generations that equal the target after outer white space is stripped."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.metrics import MeanMetric
from harness.api.registry import metric
from harness.api.types import Example, Generated, Response


@metric(version=1)
class ExactMatch(MeanMetric):
    """1 when the text equals the target (or one of several targets), else 0; ratio in [0, 1].

    Letters are compared as they are encoded: a composed and a decomposed accent differ, as do half and full width.
    """

    ignore_case: bool = False

    higher_is_better = True
    scale = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "exact_match"

    @property
    def signature(self) -> str:
        """Name and case rule."""
        return f"exact_match|case:{'lower' if self.ignore_case else 'mixed'}|strip:yes|version:1"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        """Compare the first response with the target."""
        answer = responses[0]
        if not isinstance(answer, Generated):
            raise TypeError(f"exact_match measures generations, not {type(answer).__name__}")
        targets = example.target if isinstance(example.target, (list, tuple)) else [example.target]
        fold = (lambda text: text.strip().lower()) if self.ignore_case else str.strip
        return float(any(fold(answer.text) == fold(str(target)) for target in targets))
