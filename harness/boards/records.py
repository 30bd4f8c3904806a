"""Where do published results lie? One JSON file a run, written once, whole or not at all, and never edited.

`<records>/<task>/<model>[+decoder].<digest>.json` holds a result as `harness.results` writes it, and under `record`
what a board needs beyond it: which answers came out (as digests), a few samples, and where the row comes from.
Records are never replaced: of the records of one cell the newest counts, and the others say what superseded them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import codec, results
from harness.api.errors import DataError
from harness.boards import agreement
from harness.boards.intervals import with_todays
from harness.boards.versions import outdated
from harness.pairing import file_name
from harness.results import Measurement, RunResult
from harness.whole import part_beside

SCHEMA = 1
OURS = "harness"


@dataclass(frozen=True, slots=True)
class Sample:
    """One question with its answer, as text that a reader may look at."""

    id: str
    picked: str  # "worst", "best" or "random"
    score: float  # of the headline metric on this example alone
    question: str
    target: str
    answer: str


@dataclass(frozen=True, slots=True)
class Record:
    """A result that was published."""

    result: RunResult
    origin: str = OURS  # "harness", or the program that an imported row comes from
    outputs: tuple[str, ...] = ()  # one digest an example, of what was answered; () where answers are not texts
    samples: tuple[Sample, ...] = ()
    superseded_by: str = ""  # digest of the newer record of the same cell, or the version that its contestant has now
    parts: tuple[Record, ...] = ()  # of a row that stands for several seeds: their records, in the seeds' order

    @property
    def imported(self) -> bool:
        """Whether another program made the numbers."""
        return self.origin != OURS


@dataclass(frozen=True, slots=True)
class Shelf:
    """All records below a folder that can be read, and one line for each that cannot."""

    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()

    @property
    def current(self) -> tuple[Record, ...]:
        """Those that no newer record supersedes."""
        return tuple(record for record in self.records if not record.superseded_by)


def path_of(record: Record) -> Path:
    """The record's path below the records' folder."""
    result = record.result
    contestant = file_name(result.model) + (f"+{file_name(result.decoder)}" if result.decoder else "")
    return Path(file_name(result.task)) / f"{contestant}.{file_name(result.digest)}.json"


def add(record: Record, folder: Path) -> bool:
    """Write a record unless it is there already; whether it was written.

    The file appears whole or not at all, and two writers of one record leave one file.

    Errors: DataError when a record of the same signature holds another number.
    """
    target = folder / path_of(record)
    handle, part = part_beside(target)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(to_text(record))
            stream.flush()
            os.fsync(stream.fileno())
        part.chmod(0o644)
        try:
            # a link, unlike a rename, never replaces what is there
            os.link(part, target)
        except FileExistsError:
            _same_or_refuse(record, target)
            return False
    finally:
        part.unlink()
    return True


def to_text(record: Record) -> str:
    """The record's file: one key a line where people read, samples of statistics on one line."""
    stored = results.to_json(record.result) | {
        "record": {
            "schema": SCHEMA,
            "origin": record.origin,
            "outputs": " ".join(record.outputs),
            "samples": [codec.pack(sample) for sample in record.samples],
        }
    }
    lines = [
        f" {json.dumps(key)}: " + json.dumps(value, allow_nan=False, indent=None if key == "samples" else 1)
        for key, value in stored.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load(file: Path) -> Record:
    """One record; DataError says what is missing, damaged, or contradicts the rest of it."""
    try:
        stored = codec.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, DataError) as problem:
        raise DataError(f"{file.name} cannot be read: {problem}") from problem
    result = results.from_json(stored, file.name)
    agreement.check(result, file.name)
    extra = stored.get("record") or {}
    if not isinstance(extra, dict) or extra.get("schema", SCHEMA) != SCHEMA:
        raise DataError(f"{file.name}: its record has the schema {_schema(extra)!r}, this version reads {SCHEMA}.")
    try:
        samples = tuple(
            Sample(
                id=str(found["id"]),
                picked=str(found["picked"]),
                score=float(codec.unpack(found["score"])),
                question=str(found["question"]),
                target=str(found["target"]),
                answer=str(found["answer"]),
            )
            for found in extra.get("samples", ())
        )
    except (KeyError, TypeError, ValueError, DataError) as problem:
        raise DataError(f"{file.name}: a sample is incomplete: {problem}.") from problem
    return Record(result, str(extra.get("origin", OURS)), tuple(str(extra.get("outputs", "")).split()), samples)


def load_all(folder: Path) -> Shelf:
    """Every record below a folder, in the order of their paths; what cannot be read becomes a problem, not a row."""
    found: dict[str, list[tuple[str, Record]]] = {}
    problems = []
    for file in sorted(folder.rglob("*.json")):
        if file.name.startswith("."):
            # left by a writer that was killed; its record was never there
            continue
        try:
            record = load(file)
        except DataError as problem:
            problems.append(str(problem))
            continue
        found.setdefault(record.result.digest, []).append((str(file.relative_to(folder)), record))
    records = []
    for digest, copies in found.items():
        if not all(_agree(record, copies[0][1]) for _, record in copies):
            names = ", ".join(name for name, _ in copies)
            problems.append(f"signature {digest} has records with different numbers, so that none counts: {names}.")
        else:
            # the file keeps the interval of its day
            records.append(replace(copies[0][1], result=with_todays(copies[0][1].result)))
    return Shelf(tuple(with_superseded(records)), tuple(problems))


def cell_of(record: Record) -> tuple[str, ...]:
    """What makes two records the same cell: the question, the contestant and the kind of machine."""
    signature = record.result.signature
    keys = ("split", "limit", "seed", "model", "decoder", "dtype", "budget")
    return (
        record.result.task,
        *(json.dumps(signature.get(key), sort_keys=True, default=str) for key in keys),
        device_class(record.result),
        record.origin,
    )


def device_class(result: RunResult) -> str:
    """Machines whose speeds may stand in one ranking: the accelerator, or the processor and how much of it."""
    environment = result.environment
    accelerator = str(environment.get("accelerator") or "")
    if accelerator or not environment.get("cpu"):
        return accelerator
    cores, threads = environment.get("cores"), environment.get("threads")
    used = threads or cores
    return f"{environment['cpu']}, {used} thread{'' if str(used) == '1' else 's'}"


def with_superseded(records: Sequence[Record]) -> list[Record]:
    """The same records; all but the newest of a cell, and those of an older meaning, say what superseded them."""
    newest: dict[tuple[str, ...], Record] = {}
    for record in records:
        cell = cell_of(record)
        newest[cell] = max(newest.get(cell, record), record, key=_age)
    return [
        replace(record, superseded_by=outdated(record.result))
        if newest[cell_of(record)] is record
        else replace(record, superseded_by=newest[cell_of(record)].result.digest)
        for record in records
    ]


def _age(record: Record) -> tuple[int, str, str]:
    result = record.result
    version = result.signature.get("task_version")
    return (version if isinstance(version, int) else 0, str(result.environment.get("date", "")), result.digest)


def _agree(first: Record, second: Record) -> bool:
    """Whether two records hold the same numbers; intervals by different methods may differ."""
    ours, theirs = first.result.metrics, second.result.metrics
    return ours.keys() == theirs.keys() and all(
        _numbers(found, found.method == theirs[name].method)
        == _numbers(theirs[name], found.method == theirs[name].method)
        for name, found in ours.items()
    )


def _numbers(found: Measurement, ends: bool) -> tuple[str, ...]:
    numbers = (found.value, found.n, *((found.low, found.high) if ends else ()))
    return tuple(_text(number) for number in numbers)


def _same_or_refuse(record: Record, target: Path) -> None:
    published = load(target)
    if published.result.digest != record.result.digest or not _agree(published, record):
        raise DataError(
            f"{target} is published with other numbers for the signature {record.result.digest}; "
            "a record is never edited: find out why one signature gave two results."
        )


def _schema(extra: Any) -> Any:
    return extra.get("schema") if isinstance(extra, dict) else type(extra).__name__


def _text(number: float) -> str:
    # NaN equals itself here
    return repr(float(number))
