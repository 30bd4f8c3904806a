"""How does a result read as MTEB's `TaskResult`? One file a task, its headline as `main_score`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite

from harness.api.errors import DataError
from harness.results import RunResult


def export(results: Sequence[RunResult]) -> str:
    """The `TaskResult` of one run; DataError for several, or for a run without a value."""
    if len(results) != 1:
        raise DataError("an MTEB file holds one run; export each apart.")
    (result,) = results
    metrics = {name: found.value for name, found in result.metrics.items() if isfinite(found.value)}
    if result.headline not in metrics:
        raise DataError(f"{result.task} has no finite {result.headline}; MTEB needs a main score.")
    scores = {
        **metrics,
        "main_score": metrics[result.headline],
        "hf_subset": "default",
        # our tasks do not declare their language in BCP-47
        "languages": [],
    }
    found = {
        "dataset_revision": str(result.signature.get("data")),
        "task_name": result.task,
        "mteb_version": None,
        "scores": {str(result.signature["split"]): [scores]},
        "evaluation_time": float(result.timings.get("wall_seconds") or 0.0),
        "kg_co2_emissions": None,
        "date": result.environment.get("date"),
    }
    return json.dumps(found, indent=2, allow_nan=False) + "\n"
