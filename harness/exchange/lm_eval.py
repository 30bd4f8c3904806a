"""How does a result read in lm-eval's words, and what of lm-eval's can stand beside ours? Both ways, one layout.

The layout is that of `lm_eval.result_schema.EvalResults` (0.4.x): one metric is `"name,filter"`, its standard error
`"name_stderr,filter"`, and what is not known is `"N/A"`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite, nan
from typing import Any

from harness import codec, soundness
from harness import signature as signatures
from harness.api import registry
from harness.api.errors import DataError, HarnessError
from harness.boards.records import Record
from harness.pairing import metrics_of
from harness.results import Measurement, RunResult
from harness.student import Z95

ORIGIN = "lm-eval"
UNKNOWN = "N/A"
# keys of a task's results that are no metric
PLAIN = frozenset({"name", "alias", "sample_len", "sample_count"})


def export(results: Sequence[RunResult]) -> str:
    """One results file for runs of one model.

    Errors: DataError when the runs are of several models, or two are of one task.
    """
    first = results[0]
    if len({(result.model, result.decoder) for result in results}) > 1:
        raise DataError("an lm-eval file holds one model; export the runs of each model apart.")
    tasks = [result.task for result in results]
    if len(set(tasks)) < len(tasks):
        raise DataError("an lm-eval file holds one result a task; export runs of one task apart.")
    signature, identity, environment = first.signature, first.identity, first.environment
    seconds = sum(float(result.timings.get("wall_seconds") or 0.0) for result in results)
    found: dict[str, Any] = {
        "results": {result.task: _task(result) for result in results},
        "group_subtasks": {result.task: [] for result in results},
        "configs": {
            result.task: {"task": result.task, "metadata": {"version": result.signature.get("task_version")}}
            for result in results
        },
        "versions": {result.task: result.signature.get("task_version") for result in results},
        "n-shot": {result.task: 0 for result in results},
        "higher_is_better": {
            result.task: {name: metric.higher_is_better for name, metric in result.metrics.items()}
            for result in results
        },
        "n-samples": {result.task: {"original": result.examples, "effective": result.examples} for result in results},
        "config": {
            "model": first.model,
            "model_args": None,
            "model_num_parameters": int(identity.get("parameters") or 0),
            "model_dtype": str(identity.get("dtype") or signature.get("dtype") or ""),
            "model_revision": "",
            "model_sha": _digest(signature.get("weights")),
            "batch_size": None,
            "batch_sizes": [],
            "device": str(signature.get("device") or ""),
            "use_cache": None,
            "limit": signature.get("limit"),
            "bootstrap_iters": 1000,
            "gen_kwargs": {"decoder": first.decoder} if first.decoder else None,
            "random_seed": int(signature.get("seed", 0)),
            "numpy_seed": int(signature.get("seed", 0)),
            "torch_seed": int(signature.get("seed", 0)),
            "fewshot_seed": int(signature.get("seed", 0)),
        },
        "git_hash": str(environment.get("commit") or ""),
        "date": _timestamp(environment.get("date")),
        "pretty_env_info": json.dumps(environment, sort_keys=True, default=str),
        "transformers_version": str((environment.get("versions") or {}).get("transformers") or UNKNOWN),
        "lm_eval_version": UNKNOWN,
        "upper_git_hash": None,
        "task_hashes": {result.task: str(result.signature.get("data")) for result in results},
        "model_source": "seqharness",
        "model_name": first.model,
        "model_name_sanitized": first.model.replace("/", "__"),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": None,
        "chat_template": identity.get("chat_template"),
        "chat_template_sha": None,
        "max_length": identity.get("context_length"),
        "total_evaluation_time_seconds": str(seconds),
    }
    return json.dumps(found, indent=2, default=str, allow_nan=False) + "\n"


def read(text: str, names: Mapping[str, str], model: str = "") -> list[Record]:
    """Records of an lm-eval results file, marked as imported; one a task that has a number.

    `names` maps our task's spec to lm-eval's name of the same task, so that the row stands in that task's table;
    another task becomes `lm-eval/<name>`. `model` overrides the name that the file gives.

    Errors: DataError when the text is not such a file.
    """
    try:
        stored = codec.parse(text, constants=True)
    except DataError as problem:
        raise DataError(f"this is no lm-eval results file: {problem}") from problem
    tasks = stored.get("results") if isinstance(stored, dict) else None
    if not isinstance(tasks, dict):
        raise DataError('this is no lm-eval results file: it holds no object "results".')
    ours = {theirs: spec for spec, theirs in names.items()}
    absent = sorted(set(ours) - set(tasks))
    if absent:
        raise DataError(f"the file has no task {', '.join(absent)}; it has {', '.join(sorted(tasks))}.")
    found = [_record(stored, name, ours.get(name, f"lm-eval/{name}"), model) for name in sorted(tasks)]
    return [record for record in found if record is not None]


def _task(result: RunResult) -> dict[str, Any]:
    found: dict[str, Any] = {"name": result.task, "alias": result.task, "sample_len": result.examples}
    for name, metric in result.metrics.items():
        width = (metric.high - metric.low) / (2 * Z95)
        found[f"{name},none"] = metric.value if isfinite(metric.value) else UNKNOWN
        found[f"{name}_stderr,none"] = width if isfinite(width) else UNKNOWN
    return found


def _record(stored: Mapping[str, Any], name: str, task: str, model: str) -> Record | None:
    config, values = _mapping(stored, "config"), _mapping(_mapping(stored, "results"), name)
    told = _mapping(_mapping(stored, "n-samples"), name).get("effective") or values.get("sample_len")
    count = _whole(told, f"{name}: the number of examples")
    metrics = _metrics(values, _mapping(_mapping(stored, "higher_is_better"), name), count, name)
    if not metrics:
        return None
    chosen = _headline(task)
    if chosen in metrics:
        metrics = {chosen: metrics.pop(chosen), **metrics}
    signature = {
        "schema": 1,
        "harness": f"lm-eval {stored.get('lm_eval_version', '')}".strip(),
        "task": task,
        "task_version": _plain(_mapping(stored, "versions").get(name)),
        "data": _plain(_mapping(stored, "task_hashes").get(name, "unknown")),
        "split": "test",
        "limit": _plain(config.get("limit")),
        "seed": _whole(config.get("random_seed"), "the random seed"),
        "metrics": {metric: found.signature for metric, found in metrics.items()},
        "model": model or str(stored.get("model_name") or config.get("model") or "unknown"),
        "weights": {"sha": str(config.get("model_sha") or "unknown")},
        "decoder": None,
        "dtype": str(config.get("model_dtype") or "auto"),
        "budget": None,
        "shots": _plain(_mapping(stored, "n-shot").get(name)),
        "lm_eval_task": name,
        # two evaluations by another program are told apart by when they ran
        "date": _plain(stored.get("date")),
    }
    soundness.check_signature(signature, name)
    environment = {"date": _iso(stored.get("date")), "commit": str(stored.get("git_hash") or "")}
    parameters = config.get("model_num_parameters") or 0
    result = RunResult(
        signature=signature,
        digest=signatures.digest(signature),
        metrics=metrics,
        breakdown=(),
        examples=count,
        failed=0,
        failures=(),
        identity={"parameters": parameters} if _is_number(parameters) and parameters > 0 else {},
        ran={},
        notes=(f"imported from {ORIGIN}: its prompts, metrics and intervals (1.96 standard errors), not ours",),
        environment=environment,
    )
    return Record(result, origin=ORIGIN)


def _metrics(values: Mapping[str, Any], better: Mapping[str, Any], count: int, task: str) -> dict[str, Measurement]:
    found = {}
    for key, value in values.items():
        name, _, chosen = key.partition(",")
        if key in PLAIN or name.endswith("_stderr") or not chosen or not _is_number(value):
            continue
        error = values.get(f"{name}_stderr,{chosen}")
        half = Z95 * float(error) if error is not None and _is_number(error) else nan
        if half < 0:
            raise DataError(f"{task}: the standard error of {name} is {error}; it cannot be less than 0.")
        # lm-eval's other filters are other metrics
        full = name if chosen == "none" else f"{name}.{chosen}"
        found[full] = Measurement(
            float(value), float(value) - half, float(value) + half, count, better.get(name) is not False, "",
            f"lm-eval:{key}", method="normal",
        )  # fmt: skip
    return found


def _headline(task: str) -> str:
    """The headline metric of our task, so that an imported row shows the same one where it has it."""
    try:
        return metrics_of(registry.create("task", task), task)[0].name
    except HarnessError:
        # a task of lm-eval's own
        return ""


def _mapping(stored: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = stored.get(key)
    return found if isinstance(found, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _whole(told: Any, what: str) -> int:
    """A count or seed, 0 where the file has none (lm-eval writes that as "N/A" too)."""
    if told is None or told == UNKNOWN:
        return 0
    if not _is_number(told) or told != int(told) or not 0 <= told < codec.LARGEST:
        raise DataError(f"{what} is {str(told)[:60]!r}; it should be a whole number of 0 or more.")
    return int(told)


def _plain(value: Any) -> Any:
    """A value of the file as a signature keeps it: a number, a truth value, or its text."""
    return value if value is None or isinstance(value, (bool, int)) or _is_number(value) else str(value)


def _digest(weights: Any) -> str:
    return hashlib.sha256(json.dumps(weights, sort_keys=True, default=str).encode()).hexdigest()


def _timestamp(date: Any) -> float:
    try:
        return datetime.fromisoformat(str(date)).timestamp()
    except (ValueError, OverflowError, OSError):
        # an old record without a date
        return 0.0


def _iso(seconds: Any) -> str:
    try:
        return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds") if _is_number(seconds) else ""
    except (OverflowError, OSError, ValueError):
        # a moment that no calendar holds
        return ""
