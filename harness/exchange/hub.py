"""How does a result read on the Hugging Face hub? As `.eval_results/*.yaml` entries, or as a card's `model-index`.

Both are written as JSON, which every YAML reader takes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

from harness.boards.rows import command
from harness.results import RunResult


def eval_results(results: Sequence[RunResult]) -> str:
    """Entries of `.eval_results/*.yaml`: the headline of each run; the data digest stands where a revision would."""
    entries = []
    for result in results:
        found = result.metrics[result.headline]
        if isfinite(found.value):
            entry: dict[str, Any] = {
                "dataset": {"id": result.task.partition(":")[0], "task_id": result.task},
                "value": found.value,
                "notes": f"{result.headline}; 95% interval [{found.low:.6g}, {found.high:.6g}]; n {found.n}; "
                f"signature {result.digest}; {command(result)}",
            }
            if result.environment.get("date"):
                entry["date"] = result.environment["date"]
            entries.append(entry)
    return json.dumps(entries, indent=2, allow_nan=False) + "\n"


def model_index(results: Sequence[RunResult]) -> str:
    """The `model-index` of a model card: every metric of every run, a model at a time."""
    models: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        metrics = [
            {
                "type": name,
                "value": found.value,
                "name": name,
                "args": {
                    "low": _finite(found.low),
                    "high": _finite(found.high),
                    "n": found.n,
                    "seqharness": result.digest,
                },
            }
            for name, found in result.metrics.items()
            if isfinite(found.value)
        ]
        models.setdefault(result.model, []).append(
            {
                "task": {"type": result.task.partition("/")[0], "name": result.task},
                "dataset": {
                    "type": result.task.partition(":")[0],
                    "name": result.task,
                    "split": str(result.signature["split"]),
                    "args": {"data": str(result.signature.get("data")), "decoder": result.decoder or ""},
                },
                "metrics": metrics,
            }
        )
    index = [{"name": name, "results": found} for name, found in models.items()]
    return json.dumps({"model-index": index}, indent=2, allow_nan=False) + "\n"


def _finite(number: float) -> float | None:
    return number if isfinite(number) else None
