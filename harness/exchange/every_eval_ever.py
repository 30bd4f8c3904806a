"""How does a result read in the Every Eval Ever schema (0.3.0)? One document a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

from harness import environment
from harness.api.errors import DataError
from harness.boards.rows import command
from harness.results import Measurement, RunResult

SCHEMA = "0.3.0"
ORGANIZATION = "seqharness"


def export(results: Sequence[RunResult]) -> str:
    """The document of one run; DataError for several."""
    if len(results) != 1:
        raise DataError("an Every Eval Ever document holds one run; export each apart.")
    (result,) = results
    date = str(result.environment.get("date") or "1970-01-01T00:00:00+00:00")
    found: dict[str, Any] = {
        "schema_version": SCHEMA,
        "evaluation_id": f"{result.task}/{result.model}/{result.digest}",
        "evaluation_timestamp": date,
        "retrieved_timestamp": date,
        "source_metadata": {
            "source_name": "seqharness",
            "source_type": "evaluation_run",
            "source_organization_name": ORGANIZATION,
            "evaluator_relationship": "other",
        },
        "eval_library": {
            "name": "seqharness",
            "version": str(result.signature.get("harness") or environment.harness_version()),
        },
        "model_info": {
            "name": result.model,
            "id": result.model,
            "inference_engine": {"name": str(result.identity.get("backend") or "seqharness")},
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                "weights": json.dumps(result.signature.get("weights"), sort_keys=True, default=str),
            },
        },
        "evaluation_results": [
            _result(result, name, metric, date) for name, metric in result.metrics.items() if isfinite(metric.value)
        ],
    }
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


def _result(result: RunResult, name: str, metric: Measurement, date: str) -> dict[str, Any]:
    config: dict[str, Any] = {
        "metric_id": name,
        "metric_name": name,
        "lower_is_better": not metric.higher_is_better,
        "additional_details": {"signature": metric.signature},
    }
    if metric.unit:
        config["metric_unit"] = metric.unit
    if metric.scale is not None:
        # a continuous score must name both of its ends; one whose ends are not known is of no stated type
        ends = {"min_score": _end(min(metric.scale)), "max_score": _end(max(metric.scale))}
        config |= {"score_type": "continuous", **ends}
    score: dict[str, Any] = {"score": metric.value}
    if isfinite(metric.low) and isfinite(metric.high):
        interval = {"lower": metric.low, "upper": metric.high, "confidence_level": 0.95, "method": metric.method}
        score["uncertainty"] = {"confidence_interval": interval, "num_samples": metric.n}
    return {
        "evaluation_result_id": f"{result.digest}/{name}",
        "evaluation_name": result.task,
        "evaluation_timestamp": date,
        "source_data": {
            "dataset_name": result.task,
            "source_type": "other",
            "additional_details": {"data": str(result.signature.get("data")), "split": str(result.signature["split"])},
        },
        "metric_config": config,
        "score_details": score,
        "generation_config": {
            "generation_args": {"execution_command": command(result)},
            "additional_details": {"decoder": result.decoder or "none", "signature": result.digest},
        },
    }


def _end(value: float) -> float | str:
    """An end of a scale; JSON has no infinity, and the schema spells it so."""
    return value if isfinite(value) else "Infinity" if value > 0 else "-Infinity"
