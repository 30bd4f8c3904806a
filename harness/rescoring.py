"""What do today's metrics say of yesterday's answers? Metrics again from stored responses; no model is loaded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness import codec, results
from harness import signature as signatures
from harness.api import registry
from harness.api.errors import DataError
from harness.api.metrics import Metric
from harness.api.protocols import Sources, Task
from harness.boundary import foreign
from harness.journal import MANIFEST, RESULT, Entry, RunFolder, entries, entry_at
from harness.ledger import Ledger
from harness.pairing import folder_of, metric_code, metrics_of
from harness.results import RunResult
from harness.summary import breakdown, measurements, samples

BATCH = 512  # entries a write


def rescore(run: Path, sources: Sources, announce: Callable[[str], None] = lambda line: None) -> tuple[RunResult, Path]:
    """The result of a finished run under the task's present metrics, and its folder.

    The task must still ask the very same questions. Where a metric's signature or source changed, the run gets a new
    signature and so a folder of its own, beside the old one, which stays as it is; timings are those of the old run.

    Errors: DataError when the run is not finished, or the task's data, version or questions have changed.
    """
    old = results.load(run)
    task: Task = registry.create("task", old.task)
    code = metric_code(metrics_of(task, old.task))
    version = int(registry.card("task", registry.parse(old.task)[0]).facts.get("version", 1))
    return rescore_task(run, old, task, version, code, sources, announce)


def rescore_task(
    run: Path,
    old: RunResult,
    task: Task,
    version: int,
    metric_code: str,
    sources: Sources,
    announce: Callable[[str], None],
) -> tuple[RunResult, Path]:
    """`rescore` for a task that has been built already."""
    metrics = metrics_of(task, old.task)
    signature = dict(old.signature)
    found = {"task_version": version, "data": task.data_digest(signature["split"], sources)}
    for name, value in found.items():
        if signature[name] != value:
            raise DataError(
                f"{run} holds answers to {old.task} with {name} {signature[name]!r}, which is now {value!r}; "
                "the model has to be asked again."
            )
    signature["metrics"] = {metric.name: metric.signature for metric in metrics}
    signature["code"] = {**signature["code"], "metrics": metric_code}
    path = folder_of(run.resolve().parents[2], signature)
    ledger = Ledger(metrics)
    scored = _score(run, task, metrics, signature, sources, ledger)
    with RunFolder(path, announce) as folder:
        if path.resolve() == run.resolve():
            # the answers are where they belong; their statistics are the same by the same signature
            deque(scored, maxlen=0)
        else:
            folder.clear()
            manifest = {"signature": signature, "identity": dict(old.identity), "notes": list(old.notes)}
            folder.write_json(MANIFEST, manifest)
            deque(folder.replay(), maxlen=0)
            while batch := list(islice(scored, BATCH)):
                folder.append(batch)
        result = replace(
            old,
            signature=signature,
            digest=signatures.digest(signature),
            metrics=measurements(metrics, ledger, signature["seed"]),
            breakdown=breakdown(metrics, ledger, signature["seed"]),
            failures=ledger.failures(),
            failed=ledger.failed,
            samples=samples(metrics, ledger),
        )
        results.save(result, path / RESULT)
    return result, path


def _score(
    run: Path,
    task: Task,
    metrics: tuple[Metric, ...],
    signature: dict[str, Any],
    sources: Sources,
    ledger: Ledger,
) -> Iterator[Entry]:
    offsets = {entry.id: offset for offset, entry in entries(run)}
    for example in islice(task.examples(signature["split"], signature["seed"], sources), signature["limit"]):
        position = ledger.reach(example.id)
        entry = entry_at(run, offsets[example.id]) if example.id in offsets else None
        if entry is None or entry.asked != signatures.asked(example) or position is None:
            what = "has no answer" if entry is None else "answers another question"
            raise DataError(f"{run} {what} for example {example.id!r}; the model has to be asked again.")
        statistics: dict[str, Any] = {}
        for metric in () if entry.failed else metrics:
            with foreign(f"metric {metric.name} on example {example.id!r}"):
                statistics[metric.name] = metric.measure(example, entry.responses)
        scored = replace(entry, statistics=codec.unpack(codec.pack(statistics)))
        ledger.add(scored, position)
        yield scored
