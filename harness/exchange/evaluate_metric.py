"""How does another program use our metrics? As a `Metric` of the `evaluate` library, by name.

from harness.exchange.evaluate_metric import as_evaluate
as_evaluate("cer").compute(predictions=["helo"], references=["hello"])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.metrics import Metric
from harness.api.types import Example, Generate, Generated


def as_evaluate(spec: str) -> Any:
    """A registered metric of texts as an `evaluate.Metric`; `compute` gives `{name: value}`.

    References are one text, or a list of texts, for each prediction. Errors: UsageError on an unknown name.
    """
    import datasets
    import evaluate

    metric: Metric = registry.create("metric", spec)
    text = datasets.Value("string")

    class Ours(evaluate.Metric):  # type: ignore[misc]
        """One registered metric."""

        def _info(self) -> Any:
            return evaluate.MetricInfo(
                description=(type(metric).__doc__ or metric.name).strip(),
                citation="",
                inputs_description="predictions: texts; references: one text, or a list of texts, for each",
                features=[
                    datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
                    datasets.Features({"predictions": text, "references": text}),
                ],
            )

        def _compute(self, predictions: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
            return {metric.name: value(metric, predictions, references)}

    return Ours(keep_in_memory=True)


def value(metric: Metric, predictions: Sequence[str], references: Sequence[Any]) -> float:
    """The metric over predictions; UsageError when none counts."""
    rows = [
        metric.measure(Example(str(place), (Generate("", 0),), target=_target(reference)), [Generated(prediction)])
        for place, (prediction, reference) in enumerate(zip(predictions, references, strict=True))
    ]
    counted = [row for row in rows if not np.isnan(row).any()]
    if not counted:
        raise UsageError(f"{metric.name}: no prediction counts.")
    return float(metric.reduce(np.stack(counted)))


def _target(reference: Any) -> Any:
    return list(reference) if isinstance(reference, (list, tuple)) else reference
