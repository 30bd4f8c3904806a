"""What came out of a run? The result of one cell, as an object and as a JSON file with a versioned schema.

All keys of the file but `MEASURED` are a function of the signature: two runs of it agree byte for byte.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import codec, soundness
from harness.api.errors import DataError
from harness.journal import RESULT, write_text_atomically

SCHEMA = 1
MEASURED = ("timings", "environment")  # the keys that differ between two runs of the same signature
OLDER = "percentile or Wilson, before 0.2"  # the method of an interval whose file names none
SAMPLES_LIMIT = 200_000  # numbers; larger statistics stay in the journal alone

# N examples, S statistics of one example
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One metric's outcome. `value`, `low` and `high` are NaN when no example counted."""

    value: float
    low: float  # 95% interval
    high: float
    n: int  # examples that counted
    higher_is_better: bool
    unit: str
    signature: str
    scale: tuple[float, float] | None = None  # (worst, best)
    method: str = OLDER  # that gave the interval, as `harness.stats` names it


@dataclass(frozen=True, slots=True)
class Slice:
    """The metrics of the examples that carry some tags."""

    tags: Mapping[str, str]
    examples: int
    metrics: Mapping[str, Measurement]


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Failures that share a message."""

    message: str
    count: int
    example: str  # id of the first one


@dataclass(frozen=True, slots=True)
class Samples:
    """Per-example statistics in the order of the task's stream; a failed example is a row of NaN."""

    ids_digest: str  # two results with equal digests have the same examples, row by row
    statistics: Mapping[str, Array]  # metric -> [N, S]
    clusters: tuple[int, ...] = ()  # cluster number of each row; () when every example is its own
    ids: tuple[str, ...] = ()  # () when there are too many to keep
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # key -> one value a row, "" where it has none

    def cluster_names(self) -> list[str]:
        """Clusters as `harness.stats` takes them: one name a row, empty for an example of its own."""
        return ["" if number < 0 else str(number) for number in self.clusters]


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything that a table, a leaderboard or a paired test asks of a run. The first metric is the headline."""

    signature: Mapping[str, Any]
    digest: str
    metrics: Mapping[str, Measurement]
    breakdown: tuple[Slice, ...]
    examples: int
    failed: int
    failures: tuple[FailureKind, ...]
    identity: Mapping[str, Any]  # what the loaded model says of itself: parameters, context, backend, kernels
    ran: Mapping[str, Any]  # the parts of `identity` that say which code path ran
    notes: tuple[str, ...] = ()  # what a reader must know, one line each
    samples: Samples | None = None
    timings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """Canonical spec of the task."""
        return str(self.signature["task"])

    @property
    def model(self) -> str:
        """Canonical spec of the model."""
        return str(self.signature["model"])

    @property
    def decoder(self) -> str | None:
        """Canonical spec of the decoder, if one took part."""
        decoder = self.signature["decoder"]
        return None if decoder is None else str(decoder)

    @property
    def headline(self) -> str:
        """Name of the first metric."""
        return next(iter(self.metrics))

    @property
    def all_failed(self) -> bool:
        """Whether not one example was answered."""
        return self.failed == self.examples


def to_json(result: RunResult) -> dict[str, Any]:
    """The JSON form of a result; NaN becomes null in metrics."""
    samples = result.samples
    return {
        "schema": SCHEMA,
        "digest": result.digest,
        "signature": dict(result.signature),
        "metrics": {name: _measurement_json(found) for name, found in result.metrics.items()},
        "breakdown": [
            {
                "tags": dict(part.tags),
                "examples": part.examples,
                "metrics": {name: _measurement_json(found, brief=True) for name, found in part.metrics.items()},
            }
            for part in result.breakdown
        ],
        "examples": result.examples,
        "failed": result.failed,
        "failures": [codec.pack(kind) for kind in result.failures],
        "identity": codec.pack(result.identity),
        "ran": codec.pack(result.ran),
        "notes": list(result.notes),
        "samples": None
        if samples is None
        else {
            "ids_digest": samples.ids_digest,
            "ids": list(samples.ids),
            "clusters": list(samples.clusters),
            "statistics": {name: codec.pack_matrix(rows) for name, rows in samples.statistics.items()},
            **({"tags": {key: list(values) for key, values in samples.tags.items()}} if samples.tags else {}),
        },
        "timings": codec.pack(result.timings),
        "environment": codec.pack(result.environment),
    }


def from_json(stored: Any, origin: str = "result") -> RunResult:
    """The inverse of `to_json`.

    Errors: DataError names the key that is absent or of the wrong kind, or what in the result contradicts the rest.
    """
    if not isinstance(stored, dict):
        raise DataError(f"{origin}: expected a JSON object, found {type(stored).__name__}.")
    if stored.get("schema") != SCHEMA:
        raise DataError(f"{origin}: its schema is {stored.get('schema')!r}, this version reads {SCHEMA}; run it again.")
    signature = _need(stored, "signature", dict, origin)
    soundness.check_signature(signature, origin)
    metrics = {
        str(name): _measurement(found, f"{origin}: metric {name!r}")
        for name, found in _need(stored, "metrics", dict, origin).items()
    }
    if not metrics:
        raise DataError(f"{origin}: it holds no metric.")
    found = RunResult(
        signature=signature,
        digest=_need(stored, "digest", str, origin),
        metrics=metrics,
        breakdown=tuple(_slice(part, metrics, origin) for part in _need(stored, "breakdown", list, origin)),
        examples=_need(stored, "examples", int, origin),
        failed=_need(stored, "failed", int, origin),
        failures=tuple(_failure(kind, origin) for kind in _need(stored, "failures", list, origin)),
        identity=_facts(stored, "identity", origin),
        ran=_facts(stored, "ran", origin),
        notes=tuple(str(note) for note in _need(stored, "notes", list, origin)),
        samples=_samples(stored.get("samples"), _need(stored, "examples", int, origin), origin),
        timings=_facts(stored, "timings", origin),
        environment=_facts(stored, "environment", origin),
    )
    soundness.check(found, origin)
    return found


def save(result: RunResult, file: Path) -> None:
    """Write a result or record atomically."""
    # one key a line where people read, one line where they do not
    parts = [
        f" {json.dumps(key)}: " + json.dumps(value, allow_nan=False, indent=None if key == "samples" else 1)
        for key, value in to_json(result).items()
    ]
    write_text_atomically(file, "{\n" + ",\n".join(parts) + "\n}\n")


def load(path: Path) -> RunResult:
    """A result from its file, or from the folder of its run; raises DataError."""
    file = path / RESULT if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as problem:
        raise DataError(f"no result at {file}: {problem.strerror}. An unfinished run has none yet.") from problem
    except UnicodeDecodeError as problem:
        raise DataError(f"{file} is not a result: {problem}.") from problem
    return from_json(_parse(text, file), str(file))


def without_measured(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a result's JSON that its signature determines."""
    return {key: value for key, value in stored.items() if key not in MEASURED}


def pair(first: Samples, second: Samples, metric: str) -> tuple[Array, Array, list[str]]:
    """Statistics of one metric for the examples that two results share, row by row, and their clusters.

    Errors: DataError when either has no such metric or their examples cannot be matched.
    """
    for samples in (first, second):
        if metric not in samples.statistics:
            raise DataError(f"no statistics of {metric!r}; there are {', '.join(samples.statistics)}.")
    left, right = first.statistics[metric], second.statistics[metric]
    names = first.cluster_names() or [""] * len(left)
    if first.ids_digest == second.ids_digest:
        return left, right, names
    if not first.ids or not second.ids:
        raise DataError("the two results do not hold the same examples, so they cannot be paired.")
    place = {name: row for row, name in enumerate(second.ids)}
    rows = [row for row, name in enumerate(first.ids) if name in place]
    if not rows:
        raise DataError("the two results share no example, so they cannot be paired.")
    others = [place[first.ids[row]] for row in rows]
    return left[rows], right[others], [names[row] for row in rows]


def _parse(text: str, file: Path) -> Any:
    try:
        return codec.parse(text)
    except DataError as problem:
        raise DataError(f"{file} is not a result: {problem}") from problem


def _measurement_json(found: Measurement, brief: bool = False) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "value": _null(found.value),
        "low": _null(found.low),
        "high": _null(found.high),
        "n": found.n,
        **({"method": found.method} if found.method != OLDER else {}),
    }
    if brief:
        return numbers
    return numbers | {
        "higher_is_better": found.higher_is_better,
        "unit": found.unit,
        "scale": None if found.scale is None else codec.pack(found.scale),
        "signature": found.signature,
    }


def _measurement(stored: Any, origin: str) -> Measurement:
    try:
        scale = codec.unpack(stored["scale"])
        return Measurement(
            value=_number(stored["value"]),
            low=_number(stored["low"]),
            high=_number(stored["high"]),
            n=_count(stored["n"]),
            higher_is_better=_flag(stored["higher_is_better"]),
            unit=str(stored["unit"]),
            signature=str(stored["signature"]),
            scale=None if scale is None else (float(scale[0]), float(scale[1])),
            method=str(stored.get("method", OLDER)),
        )
    except (KeyError, TypeError, ValueError, IndexError, DataError) as problem:
        raise DataError(f"{origin} is incomplete: {type(problem).__name__} {problem}.") from problem


def _slice(stored: Any, metrics: Mapping[str, Measurement], origin: str) -> Slice:
    try:
        found = {
            str(name): Measurement(
                _number(numbers["value"]),
                _number(numbers["low"]),
                _number(numbers["high"]),
                _count(numbers["n"]),
                metrics[name].higher_is_better,
                metrics[name].unit,
                metrics[name].signature,
                metrics[name].scale,
                str(numbers.get("method", OLDER)),
            )
            for name, numbers in stored["metrics"].items()
        }
        return Slice({str(key): str(value) for key, value in stored["tags"].items()}, _count(stored["examples"]), found)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise DataError(f"{origin}: a row of its breakdown is incomplete: {problem}.") from problem


def _failure(stored: Any, origin: str) -> FailureKind:
    try:
        return FailureKind(str(stored["message"]), _count(stored["count"]), str(stored["example"]))
    except (KeyError, TypeError, ValueError) as problem:
        raise DataError(f"{origin}: a kind of its failures is incomplete: {problem}.") from problem


def _facts(stored: Mapping[str, Any], key: str, origin: str) -> Mapping[str, Any]:
    try:
        found = codec.unpack(_need(stored, key, dict, origin))
    except DataError as problem:
        raise DataError(f"{origin}: in {key!r}, {problem}") from problem
    if not isinstance(found, dict):
        raise DataError(f"{origin}: {key!r} should be an object of facts, found {type(found).__name__}.")
    return found


def _samples(stored: Any, examples: int, origin: str) -> Samples | None:
    if stored is None:
        return None
    try:
        statistics = {str(name): codec.unpack_matrix(packed) for name, packed in stored["statistics"].items()}
        found = Samples(
            ids_digest=str(stored["ids_digest"]),
            statistics=statistics,
            clusters=tuple(_count(number) for number in stored["clusters"]),
            ids=tuple(str(name) for name in stored["ids"]),
            tags={str(key): tuple(map(str, values)) for key, values in stored.get("tags", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, DataError) as problem:
        raise DataError(f"{origin}: its samples are incomplete: {problem}.") from problem
    lengths = [*map(len, statistics.values()), *map(len, found.tags.values())]
    if any(length != examples for length in [*lengths, len(found.clusters) or examples, len(found.ids) or examples]):
        raise DataError(f"{origin}: its samples do not have one row for each of its {examples} examples.")
    return found


def _need(stored: Mapping[str, Any], key: str, kind: type[Any], origin: str) -> Any:
    value = stored.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"{origin}: {key!r} should be a {kind.__name__}, found {type(value).__name__}.")
    return value


def _null(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _number(stored: Any) -> float:
    if stored is None:
        return math.nan
    if isinstance(stored, bool) or not isinstance(stored, (int, float)):
        raise TypeError(f"{stored!r} is no number")
    # what is not finite is written as null
    return float(stored) if math.isfinite(stored) else math.nan


def _count(stored: Any) -> int:
    if isinstance(stored, bool) or not isinstance(stored, int):
        raise TypeError(f"{stored!r} is no count")
    return stored


def _flag(stored: Any) -> bool:
    if not isinstance(stored, bool):
        raise TypeError(f"{stored!r} is neither true nor false")
    return stored
