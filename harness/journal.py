"""What of a run is already safe on disk? A locked folder with an append-only journal that survives `kill -9`.

Every finished example is one line `{"crc32":"0a1b2c3d","entry":{...}}`. A line counts when it is complete and its
checksum holds; anything else is dropped, and its example computed again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from harness import codec, timing
from harness.api.errors import DataError, HarnessError
from harness.api.types import Response
from harness.whole import part_beside, sweep

MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"
RESULT = "result.json"
LOCK = "lock"

_HEAD = b'{"crc32":"'
_MIDDLE = b'","entry":'


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished example as the journal keeps it."""

    id: str
    responses: tuple[Response, ...]
    statistics: Mapping[str, Any]  # metric name -> [S]; empty while unscored or failed
    tags: Mapping[str, str] = field(default_factory=dict)
    cluster: str = ""
    timings: Mapping[str, Any] = field(default_factory=dict)  # of this example, and of its batch on the first line
    asked: str = ""  # digest of the requests
    failed: bool = False


class RunFolder:
    """One run's folder, held by one process at a time. Use as a context manager.

    Errors: HarnessError when the folder cannot be written, or another process holds it.
    """

    def __init__(self, path: Path, announce: Callable[[str], None]) -> None:
        self.path = path
        self._announce = announce
        self._lock: IO[str] | None = None
        self._journal: IO[bytes] | None = None
        self._safe = 0  # bytes of the journal that are known to be whole lines on disk
        self._lines = 0

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / LOCK, "w", encoding="ascii")
        except OSError as problem:
            raise _unwritable(self.path, problem) from problem
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            self._lock.close()
            raise HarnessError(
                f"another process is writing {self.path}; wait for it, or give this one another --out."
            ) from problem
        sweep(self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in (self._journal, self._lock):
            if handle is not None:
                handle.close()
        self._journal = self._lock = None

    def clear(self) -> None:
        """Forget everything that an earlier run left here; the journal must be replayed again."""
        if self._journal is not None:
            self._journal.close()
        self._journal, self._safe, self._lines = None, 0, 0
        try:
            for name in (RESULT, JOURNAL, MANIFEST):
                (self.path / name).unlink(missing_ok=True)
        except OSError as problem:
            raise _unwritable(self.path, problem) from problem

    def read_json(self, name: str) -> Any:
        """A JSON file of the folder, or None when it is absent or was never finished."""
        try:
            return codec.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except DataError:
            self._announce(f"{self.path / name} is damaged and is ignored.")
            return None

    def write_json(self, name: str, value: Any) -> None:
        """Replace a JSON file atomically: readers see the old file or the new one, whole."""
        write_text_atomically(self.path / name, json.dumps(codec.pack(value), indent=1, allow_nan=False) + "\n")

    def replay(self) -> Iterator[tuple[int, Entry]]:
        """(offset, entry) of every line whose checksum holds; then the journal stands ready for `append`.

        A torn last line is cut off, a damaged line in the middle is passed over; each is announced in one line.
        """
        try:
            handle = open(self.path / JOURNAL, "a+b")  # noqa: SIM115 - held until __exit__
        except OSError as problem:
            raise _unwritable(self.path, problem) from problem
        self._journal = handle
        handle.seek(0)
        offset = 0
        damaged = 0
        for line in handle:
            entry = _parse(line)
            if not line.endswith(b"\n"):
                break
            if entry is None:
                damaged += 1
            else:
                self._lines += 1
                yield offset, entry
            offset += len(line)
        self._safe = offset
        torn = handle.seek(0, os.SEEK_END) - offset
        if torn:
            self._announce(f"{self.path / JOURNAL}: its last line was cut short ({torn} bytes); dropped.")
            handle.truncate(offset)
        if damaged:
            self._announce(f"{self.path / JOURNAL}: {damaged} damaged line(s); those examples are computed again.")

    def append(self, entries: Sequence[Entry]) -> None:
        """Write the entries and wait until they are on disk; on error nothing finished earlier is lost."""
        if self._journal is None:
            raise HarnessError("the journal must be replayed before it is written.")
        data = b"".join(_format(entry) for entry in entries)
        try:
            self._journal.write(data)
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as problem:
            self._undo()
            raise HarnessError(
                f"cannot write {self.path / JOURNAL}: {problem.strerror}. {self._lines} finished examples are safe; "
                "make room and give the same command again."
            ) from problem
        self._safe += len(data)
        self._lines += len(entries)

    def _undo(self) -> None:
        """Cut a half-written batch off; a buffered rest must not reach the disk when the file is closed."""
        assert self._journal is not None
        descriptor = os.dup(self._journal.fileno())
        # closing flushes the same bytes that were refused just now; that error is being reported already
        with contextlib.suppress(OSError):
            self._journal.close()
        os.ftruncate(descriptor, self._safe)
        os.close(descriptor)
        self._journal = None


def entries(path: Path) -> Iterator[tuple[int, Entry]]:
    """(offset, entry) of every whole line of a run folder's journal; for readers, which take no lock."""
    try:
        with open(path / JOURNAL, "rb") as handle:
            offset = 0
            for line in handle:
                entry = _parse(line)
                if entry is not None:
                    yield offset, entry
                offset += len(line)
    except OSError as problem:
        raise DataError(f"{path} is not the folder of a run: {problem.strerror} ({JOURNAL}).") from problem


def entry_at(path: Path, offset: int) -> Entry:
    """The entry whose line begins at `offset` of a run folder's journal."""
    with open(path / JOURNAL, "rb") as handle:
        handle.seek(offset)
        entry = _parse(handle.readline())
    if entry is None:
        raise DataError(f"{path / JOURNAL} changed while it was in use (byte {offset}).")
    return entry


def write_text_atomically(file: Path, text: str) -> None:
    """Text to a temporary file, to disk, then renamed over `file`, then the rename to disk."""
    part = None
    try:
        descriptor, part = part_beside(file)
        part.chmod(0o644)
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(part, file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as problem:
        if part is not None:
            part.unlink(missing_ok=True)
        raise _unwritable(file, problem) from problem


def _format(entry: Entry) -> bytes:
    body: dict[str, Any] = {"id": entry.id}
    if entry.tags:
        body["tags"] = entry.tags
    if entry.cluster:
        body["cluster"] = entry.cluster
    body["asked"] = entry.asked
    body["responses"] = [codec.encode_response(response) for response in entry.responses]
    body["statistics"] = {name: list(values) for name, values in entry.statistics.items()}
    if entry.failed:
        body["failed"] = True
    body["timings"] = entry.timings
    text = codec.dumps(body).encode("ascii")
    return _HEAD + f"{zlib.crc32(text):08x}".encode("ascii") + _MIDDLE + text + b"}\n"


def _parse(line: bytes) -> Entry | None:
    """The entry of a line, or None when any byte of it is not as written."""
    begin = len(_HEAD) + 8 + len(_MIDDLE)
    text = line[begin:-2]
    whole = line.startswith(_HEAD) and line.endswith(b"}\n") and line[begin - len(_MIDDLE) : begin] == _MIDDLE
    if not whole or line[len(_HEAD) : len(_HEAD) + 8] != f"{zlib.crc32(text):08x}".encode("ascii"):
        return None
    try:
        return _entry(codec.parse(text))
    except (DataError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        # written by another version, or by nobody that we know: its example is computed again
        return None


def _entry(body: Any) -> Entry:
    """An entry from its JSON; any of `_parse`'s errors where a key is absent or of the wrong kind."""
    return Entry(
        id=_text(body["id"]),
        responses=tuple(codec.decode_response(stored) for stored in body["responses"]),
        statistics={name: _numbers(codec.unpack(values)) for name, values in body["statistics"].items()},
        tags={name: _text(value) for name, value in body.get("tags", {}).items()},
        cluster=_text(body.get("cluster", "")),
        timings=_timed(codec.unpack(body["timings"])),
        asked=_text(body["asked"]),
        failed=body.get("failed", False) is True,
    )


def _text(stored: Any) -> str:
    if not isinstance(stored, str):
        raise TypeError(f"{stored!r} is no text")
    return stored


def _numbers(stored: Any) -> Any:
    """Statistics as they were stored, once it is sure that they are numbers."""
    np.asarray(stored, dtype=np.float64)
    return stored


def _timed(stored: Any) -> Mapping[str, Any]:
    """Timings as they were stored, once it is sure that they add up."""
    timing.Times().add(stored)
    for seconds in (stored.get("spent") or {}).values():
        float(seconds)
    return {str(name): value for name, value in stored.items()}


def _unwritable(path: Path, problem: OSError) -> HarnessError:
    remedy = "Make room there or choose" if problem.errno in (errno.ENOSPC, errno.EDQUOT) else "Choose"
    return HarnessError(f"cannot write {path}: {problem.strerror or problem}. {remedy} another --out.")
