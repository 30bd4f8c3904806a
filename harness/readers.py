"""How the rows of one data file are read: JSON lines, TSV, CSV, Parquet, JSON or plain text, compressed or not.

Text is UTF-8; a byte-order mark and Windows line ends are taken off. TSV is read without quoting (a quote is a
letter), CSV with the usual quoting. Plain text gives one row a line, `{"text": line}`. Rows are streamed.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from harness.api.errors import DataError

Row = Mapping[str, Any]
LARGEST_CELL = 2**31 - 1  # characters of a CSV cell; what a C long holds everywhere


def rows(path: Path, columns: Sequence[str] = ()) -> Iterator[Row]:
    """Rows of the file, each with at least `columns` (extra columns are fine); DataError names file and line."""
    suffix = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    reader = READERS.get(suffix)
    if reader is None:
        raise DataError(f"{path}: cannot read rows from .{suffix}; known endings are {', '.join(sorted(READERS))}.")
    count = 0
    try:
        for count, row in enumerate(reader(path), start=1):
            missing = [column for column in columns if column not in row]
            if missing:
                raise DataError(
                    f"{path} row {count} has no column {missing[0]!r}; its columns are {', '.join(map(str, row))}."
                )
            yield row
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(f"{path} is cut short or damaged after row {count} ({problem}).") from problem
    except UnicodeDecodeError as problem:
        raise DataError(f"{path} is not UTF-8 text after row {count} ({problem.reason}).") from problem
    if count == 0:
        raise DataError(f"{path} holds no rows.")


def _text(path: Path) -> IO[str]:
    # only "\n" ends a line: a lone carriage return may be part of a value
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", newline="\n"))
    return path.open(encoding="utf-8-sig", newline="\n")


def _lines(path: Path) -> Iterator[str]:
    with _text(path) as stream:
        for line in stream:
            yield line.removesuffix("\n").removesuffix("\r")


def _plain(path: Path) -> Iterator[Row]:
    for line in _lines(path):
        yield {"text": line}


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            yield _object(path, f"line {number}", _decoded(path, f"line {number}", line))


def _json(path: Path) -> Iterator[Row]:
    with _text(path) as stream:
        whole = _decoded(path, "the file", stream.read())
    for number, row in enumerate(whole if isinstance(whole, list) else [whole], start=1):
        yield _object(path, f"item {number}", row)


def _decoded(path: Path, place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as problem:
        raise DataError(f"{path}: {place} is nested too deep to be read as JSON.") from problem
    except ValueError as problem:
        raise DataError(f"{path}: {place} is not JSON ({problem}).") from problem


def _object(path: Path, place: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{path}: {place} is a {type(value).__name__}, not an object with columns.")
    return value


def _tab_separated(path: Path) -> Iterator[Row]:
    return _table(path, (line.split("\t") for line in _lines(path)))


def _comma_separated(path: Path) -> Iterator[Row]:
    # the module's own limit for one cell is 131,072 characters, less than a long document
    csv.field_size_limit(LARGEST_CELL)
    with _text(path) as stream:
        try:
            yield from _table(path, csv.reader(stream))
        except csv.Error as problem:
            raise DataError(f"{path} is not CSV ({problem}).") from problem


def _table(path: Path, cells: Iterator[list[str]]) -> Iterator[Row]:
    header = next(cells, [])
    for number, row in enumerate(cells, start=2):
        if len(row) == len(header):
            yield dict(zip(header, row, strict=True))
        elif row not in ([], [""]):
            raise DataError(f"{path} line {number} has {len(row)} cells; the header has {len(header)}.")


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    # pages that are damaged come as OSError, and values that Python cannot hold as any of the others
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, LookupError, TypeError, MemoryError) as problem:
        reason = next(iter(str(problem).splitlines()), "") or type(problem).__name__
        raise DataError(f"{path} is not a readable Parquet file ({reason}).") from problem


READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    "jsonl": _json_lines,
    "tsv": _tab_separated,
    "csv": _comma_separated,
    "parquet": _parquet,
    "txt": _plain,
    "json": _json,
}
