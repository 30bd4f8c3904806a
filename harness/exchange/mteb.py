"""How does a result read as MTEB's `TaskResult`? One file a task, under MTEB's names where the task is one of theirs.

The similarity tasks are those of MTEB: their correlations are of cosines, which MTEB calls `cosine_spearman` (its main
score) and repeats as `spearman`, the model's own similarity being the cosine. Every other task keeps its own name and
metrics, so that nothing stands beside MTEB's rows that is not the same question.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite

from harness.api.errors import DataError
from harness.results import RunResult

# the whole test split by the same cosine: a task with parameters, or a limit, is not theirs
NAMES = {
    "embedding/stsb": "STSBenchmark",
    "embedding/sickr": "SICK-R",
    **{f"embedding/sts{year}": f"STS{year}" for year in range(12, 17)},
}
SIMILARITY = ("spearman", "pearson")


def export(results: Sequence[RunResult]) -> str:
    """The `TaskResult` of one run; DataError for several, or for a run without a value."""
    if len(results) != 1:
        raise DataError("an MTEB file holds one run; export each apart.")
    (result,) = results
    metrics = {name: found.value for name, found in result.metrics.items() if isfinite(found.value)}
    if result.headline not in metrics:
        raise DataError(f"{result.task} has no finite {result.headline}; MTEB needs a main score.")
    theirs = NAMES.get(result.task) if result.signature.get("limit") is None else None
    cosines = {f"cosine_{name}": metrics[name] for name in SIMILARITY if theirs and name in metrics}
    scores = {
        **metrics,
        **cosines,
        "main_score": metrics[result.headline],
        "hf_subset": "default",
        # tasks that are ours alone do not declare their language in BCP-47
        "languages": ["eng-Latn"] if theirs else [],
    }
    found = {
        "dataset_revision": str(result.signature.get("data")),
        "task_name": theirs or result.task,
        "mteb_version": None,
        "scores": {str(result.signature["split"]): [scores]},
        "evaluation_time": float(result.timings.get("wall_seconds") or 0.0),
        "kg_co2_emissions": None,
        "date": result.environment.get("date"),
    }
    return json.dumps(found, indent=2, allow_nan=False) + "\n"
