"""What is known of every example so far? Statistics and belongings in flat arrays; texts and responses stay on disk.

About 200 bytes an example plus its statistics, so that a million examples fit a small machine.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import DataError, HarnessError
from harness.api.metrics import Metric
from harness.api.types import Failure
from harness.journal import Entry
from harness.results import FailureKind
from harness.timing import Times

# N examples in the order of the stream, S statistics of one example
Array = NDArray[np.float64]

IDS_KEPT = 5_000  # ids beyond this many are kept as a digest alone
_PENDING = -1  # reached in the stream, not finished
_REACHED = 1


class UnevenError(HarnessError):
    """A metric's statistics are not as many in every example."""


@dataclass(slots=True)
class _Column:
    """One metric's statistics, row after row, without the rows of failed examples."""

    width: int
    values: array[float]


class Ledger:
    """Collects finished examples in any order and hands them back in the order of the task's stream."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = tuple(metric.name for metric in metrics)
        self._columns: dict[str, _Column] = {}
        self._row: dict[str, int] = {}  # id -> row, or _PENDING
        self._order: array[int] = array("q")  # stream position -> row
        self._state = bytearray()  # row -> _REACHED once the stream came by
        self._measured: array[int] = array("q")  # row -> row within the columns, -1 when it failed
        self._tags: dict[tuple[tuple[str, str], ...], int] = {}
        self._tag_of: array[int] = array("i")
        self._clusters: dict[str, int] = {}
        self._cluster_of: array[int] = array("i")
        self._errors: dict[int, tuple[str, str]] = {}  # row -> (id, message)
        self._spent: list[Mapping[str, float]] = []  # row -> what its own calls took; empty in company
        self._ids_digest = hashlib.sha256()
        self._ids: list[str] = []
        self.times = Times()

    @property
    def finished(self) -> int:
        """Examples that are finished, those that the stream has not come by again included."""
        return len(self._measured)

    @property
    def failed(self) -> int:
        """How many of them are Failures."""
        return len(self._errors)

    def reach(self, example: str) -> int | None:
        """The stream came to an example: its position when it is still to be computed, None when it is finished.

        Errors: DataError when the stream has come to this id before.
        """
        row = self._row.get(example)
        if row is None:
            self._row[example] = _PENDING
            self._order.append(_PENDING)
        elif row == _PENDING or self._state[row] == _REACHED:
            raise DataError(f"two examples have the id {example!r}; a task must give each its own.")
        else:
            self._state[row] = _REACHED
            self._order.append(row)
        self._ids_digest.update(f"{len(example)}:".encode() + example.encode("utf-8", "surrogatepass"))
        if len(self._ids) <= IDS_KEPT:
            self._ids.append(example)
        return len(self._order) - 1 if row is None else None

    def knows(self, example: str) -> bool:
        """Whether the example is finished."""
        return self._row.get(example, _PENDING) != _PENDING

    def add(self, entry: Entry, position: int | None = None) -> None:
        """A finished example: from the journal (no position), or the one that `reach` gave this position."""
        row = len(self._measured)
        self._row[entry.id] = row
        self._state.append(0 if position is None else _REACHED)
        if position is not None:
            self._order[position] = row
        self._measured.append(-1 if entry.failed else self._rows())
        if entry.failed:
            message = next((answer.error for answer in entry.responses if isinstance(answer, Failure)), "no answer")
            self._errors[row] = (entry.id, message)
        else:
            self._store(entry)
        tags = tuple(sorted(entry.tags.items()))
        self._tag_of.append(self._tags.setdefault(tags, len(self._tags)))
        cluster = -1 if not entry.cluster else self._clusters.setdefault(entry.cluster, len(self._clusters))
        self._cluster_of.append(cluster)
        if len(self._spent) <= IDS_KEPT:
            self._spent.append(entry.timings.get("spent") or {})
        self.times.add(entry.timings)

    def spent(self) -> list[Mapping[str, float]]:
        """What each example's own calls took, in stream order; [] when there are too many."""
        return [] if len(self._spent) > IDS_KEPT else [self._spent[row] for row in self._stream_rows().tolist()]

    def statistics(self, metric: str) -> Array:
        """[N, S] in stream order; failed examples are rows of NaN."""
        column = self._columns.get(metric)
        rows_N = self._stream_rows()
        if column is None:
            return np.full((len(rows_N), 1), np.nan)
        values = np.array(column.values, dtype=np.float64).reshape(-1, column.width)
        measured_N = np.array(self._measured, dtype=np.int64)[rows_N]
        found = np.full((len(rows_N), column.width), np.nan)
        found[measured_N >= 0] = values[measured_N[measured_N >= 0]]
        return found

    def so_far(self, metric: str) -> Array:
        """[finished, S] in the order of the journal, without failed examples; for a running display."""
        column = self._columns.get(metric)
        return np.empty((0, 1)) if column is None else np.array(column.values).reshape(-1, column.width)

    def clusters(self) -> list[int]:
        """Cluster number of each example in stream order (-1: its own), numbered as the stream meets them."""
        numbers: dict[int, int] = {-1: -1}
        return [numbers.setdefault(self._cluster_of[row], len(numbers) - 1) for row in self._stream_rows().tolist()]

    def tags(self) -> list[Mapping[str, str]]:
        """The tags of each example in stream order; equal tags are one object."""
        known = [dict(tags) for tags in self._tags]
        return [known[self._tag_of[row]] for row in self._stream_rows().tolist()]

    def failures(self) -> tuple[FailureKind, ...]:
        """Messages with their counts, the most frequent first, at most twenty."""
        counts: dict[str, list[Any]] = {}
        for row in self._stream_rows().tolist():
            if row in self._errors:
                name, message = self._errors[row]
                counts.setdefault(message, [0, name])[0] += 1
        ranked = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))[:20]
        return tuple(FailureKind(message, count, name) for message, (count, name) in ranked)

    def ids(self) -> tuple[str, ...]:
        """Ids in stream order; () when there are too many."""
        return tuple(self._ids) if len(self._ids) <= IDS_KEPT else ()

    def ids_digest(self) -> str:
        """Digest of all ids in stream order."""
        return self._ids_digest.hexdigest()

    @property
    def reached(self) -> int:
        """Examples that the stream came by."""
        return len(self._order)

    def _stream_rows(self) -> NDArray[np.int64]:
        return np.array(self._order, dtype=np.int64)

    def _rows(self) -> int:
        return len(self._measured) - len(self._errors)

    def _store(self, entry: Entry) -> None:
        for name in self._metrics:
            values = np.asarray(entry.statistics[name], dtype=np.float64).ravel()
            column = self._columns.setdefault(name, _Column(len(values), array("d")))
            if len(values) != column.width:
                raise UnevenError(
                    f"metric {name} gave {len(values)} statistics for example {entry.id!r}, "
                    f"but {column.width} for those before; it must always give as many."
                )
            column.values.extend(values.tolist())
