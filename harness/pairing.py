"""Who meets whom? The objects behind a cell's names, introduced to each other by the runner alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import checkout, parts
from harness import signature as signatures
from harness.api import registry
from harness.api.errors import UsageError
from harness.api.metrics import Metric
from harness.api.protocols import Preparing, Setting, Task
from harness.boundary import foreign
from harness.parts import Part
from harness.planning import Cell


@dataclass(frozen=True, slots=True)
class Pairing:
    """A task, a model and perhaps a decoder, as objects, with their canonical specs."""

    cell: Cell
    task: Task
    model: Any  # a Model or a Learner
    decoder: Any  # a Decoder or None
    task_spec: str
    model_spec: str
    decoder_spec: str | None
    metrics: tuple[Metric, ...]
    task_version: int = 1
    learns: bool = False
    code: Mapping[str, str] | None = None  # digests of their source, by role
    parts: tuple[Part, ...] = ()  # what the cell's names reach: the task's, the model's, the decoder's
    carries: bool = False  # whether its decoder carries state from prompt to prompt
    fit_code: Mapping[str, str] | None = None  # those of task and learner alone
    versions: Mapping[str, int] | None = None  # of the parts of model and decoder that are not at their first

    @property
    def title(self) -> str:
        """How a line to the user names them."""
        return self.cell.title


def introduce(cell: Cell) -> Pairing:
    """Build the objects that a cell names; imports their files, loads no weights.

    Errors: UsageError on an unknown name or parameter, HarnessError when a file cannot be imported.
    """
    checkout.begin()
    with foreign(f"importing {cell.title}"):
        task = registry.create("task", cell.task)
        model = registry.create("model", cell.model)
        decoder = registry.create("decoder", cell.decoder) if cell.decoder else None
        metrics = metrics_of(task, cell.task)
    tree = {"task": [parts.resolve("task", cell.task)], "model": contestant(cell)}
    return Pairing(
        cell=cell,
        task=task,
        model=model,
        decoder=decoder,
        task_spec=registry.canonical("task", cell.task),
        model_spec=registry.canonical("model", cell.model),
        decoder_spec=registry.canonical("decoder", cell.decoder) if cell.decoder else None,
        metrics=metrics,
        task_version=int(tree["task"][0].facts.get("version", 1)),
        learns=bool(tree["model"][0].facts.get("learns")),
        parts=tuple(root for roots in tree.values() for root in roots),
        carries=any(root.carries for root in tree["model"]),
        code={role: parts.digest(roots) for role, roots in tree.items()} | {"metrics": metric_code(metrics)},
        fit_code={root.module: parts.digest([root]) for root in (tree["task"][0], tree["model"][0])},
        versions=parts.versions(tree["model"]),
    )


def contestant(cell: Cell) -> list[Part]:
    """The parts of a cell that answer: its model's, then its decoder's where it has one."""
    decoder = [parts.resolve("decoder", cell.decoder)] if cell.decoder else []
    return [parts.resolve("model", cell.model), *decoder]


def metric_code(metrics: Sequence[Metric]) -> str:
    """Digest of the source of metrics and of all that they reach."""
    reached = [part for metric in metrics for part in parts.of_object(metric)]
    return parts.digest(reached, (type(metric).__module__ for metric in metrics))


def metrics_of(task: Task, spec: str) -> tuple[Metric, ...]:
    """The task's metrics as objects; UsageError when it has none or two share a name."""
    metrics = tuple(registry.create("metric", metric) if isinstance(metric, str) else metric for metric in task.metrics)
    names = [metric.name for metric in metrics]
    if not names or len(set(names)) != len(names):
        raise UsageError(f"task {spec} has the metrics {names}; it needs at least one, each with its own name.")
    return metrics


def sign(pairing: Pairing, setting: Setting) -> dict[str, Any]:
    """The signature of the run: asks task and model for their digests, loads no weights."""
    cell = pairing.cell
    with foreign(f"task {pairing.task_spec}"):
        data = pairing.task.data_digest(cell.split, setting.sources)
        training = _training_data(pairing.task, setting) if pairing.learns else "none"
    with foreign(f"model {pairing.model_spec}"):
        weights = pairing.model.fingerprint(setting)
    with foreign(f"decoder {pairing.decoder_spec}"):
        others = pairing.decoder.fingerprint(setting) if isinstance(pairing.decoder, Preparing) else {}
    return signatures.build(
        task=pairing.task_spec,
        task_version=pairing.task_version,
        data=data,
        metrics={metric.name: metric.signature for metric in pairing.metrics},
        split=cell.split,
        limit=cell.limit,
        seed=cell.seed,
        model=pairing.model_spec,
        weights=weights,
        decoder=pairing.decoder_spec,
        decoder_weights=others,
        device=setting.device,
        dtype=setting.dtype,
        budget=cell.budget if pairing.learns else None,
        training_data=training,
        code=pairing.code or {},
        versions=pairing.versions or {},
    )


def folder_of(out: Path, signature: Mapping[str, Any]) -> Path:
    """`out/<task>/<model>[+decoder]/<digest>`, in names that every file system takes."""
    decoder = signature["decoder"]
    contestant = file_name(signature["model"]) + (f"+{file_name(decoder)}" if decoder else "")
    return out / file_name(signature["task"]) / contestant / signatures.digest(signature)


def file_name(spec: str) -> str:
    """A spec as one path segment: `recall/noun_list:length=3` becomes `recall-noun_list@length=3`."""
    # what is cut off or replaced still counts: the digest folder below tells such specs apart
    text = spec.replace("/", "-").replace(":", "@")
    return re.sub(r"[^\w@=,.+-]", "_", text, flags=re.ASCII)[:100].lstrip(".") or "_"


def _training_data(task: Task, setting: Setting) -> str:
    found = []
    for split in ("train", "validation"):
        try:
            found.append(task.data_digest(split, setting.sources))
        except UsageError:
            # the task says that it has no such split
            found.append("absent")
    return "+".join(found)
