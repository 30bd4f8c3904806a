"""How is a `.ts` file of the UEA and UCR archives read? Header, then one case a line: channels by `:`, label last.

Series of unequal length and of length 1 are read as they are, `?` and NaN are missing values (NaN), labels compare as
numbers where they are numbers (1.0 is 1) and without case elsewhere; a byte-order mark, Windows line ends, blank lines
and `#` comments are taken off. Timestamps, regression targets and files without classes are refused.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import DataError

# T time, C channels

Series = NDArray[np.float64]
MISSING = frozenset({"?", "nan"})


@dataclass(frozen=True, slots=True)
class Case:
    """One series [T, C] and its class."""

    series: Series
    label: str


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """The cases of one file, and the classes that its header names."""

    classes: tuple[str, ...]
    cases: tuple[Case, ...]


@dataclass(slots=True)
class _Header:
    classes: tuple[str, ...] = ()
    channels: int = 0  # 0: not stated
    equal_length: bool = False
    length: int = 0  # 0: not stated
    flags: dict[str, bool] = field(default_factory=dict)


def read(path: Path) -> SeriesFile:
    """All cases of a `.ts` or `.ts.gz` file; DataError names the file and the line of what is wrong."""
    header, cases = _Header(), []
    begun = False
    try:
        for number, line in _lines(path):
            place = f"{path.name} line {number}"
            if begun:
                cases.append(_case(line, header, place))
            elif line.startswith("@"):
                begun = _read_tag(line, header, place)
            else:
                raise DataError(f"{place}: a header line begins with @ and the cases begin after @data.")
    except UnicodeDecodeError as problem:
        raise DataError(f"{path} is not UTF-8 text ({problem.reason}).") from problem
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(f"{path} is cut short or damaged ({problem}).") from problem
    if not begun or not cases:
        raise DataError(f"{path} holds {'no @data' if not begun else 'no cases after @data'}.")
    widths = sorted({case.series.shape[1] for case in cases})
    if len(widths) > 1:
        raise DataError(f"{path}: cases have {widths[0]} to {widths[-1]} channels; all must have as many.")
    return SeriesFile(header.classes, tuple(cases))


def normal(label: str) -> str:
    """A label as it is compared: a whole number without its point, text without case."""
    stripped = label.strip().casefold()
    try:
        number = float(stripped)
    except ValueError:
        return stripped
    return str(int(number)) if number.is_integer() else repr(number)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with _opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            stripped = line.strip()
            if stripped and not stripped.startswith("#"):
                yield number, stripped


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig"))
    return path.open(encoding="utf-8-sig")


def _read_tag(line: str, header: _Header, place: str) -> bool:
    """Take one header line in; true when it is `@data`."""
    tag, *values = line.split()
    name = tag[1:].casefold()
    if name == "data":
        if header.flags.get("timestamps"):
            raise DataError(f"{place}: series with @timeStamps are not read; save them as evenly spaced values.")
        if header.flags.get("targetlabel") or not header.classes:
            raise DataError(f"{place}: the header names no classes (@classLabel true A B ...), so nothing can be told.")
        return True
    if name == "classlabel":
        header.classes = _classes(values, place)
    elif name in ("dimension", "dimensions", "serieslength"):
        count = _count(values, tag, place)
        if name == "serieslength":
            header.length = count
        else:
            header.channels = count
    elif name in ("timestamps", "missing", "univariate", "equallength", "targetlabel"):
        if len(values) != 1 or values[0].casefold() not in ("true", "false"):
            raise DataError(f"{place}: {tag} needs true or false, not {' '.join(values) or 'nothing'}.")
        header.flags[name] = values[0].casefold() == "true"
    return False


def _classes(values: Sequence[str], place: str) -> tuple[str, ...]:
    if not values or values[0].casefold() not in ("true", "false"):
        raise DataError(f"{place}: @classLabel needs true or false first.")
    if values[0].casefold() == "false":
        return ()
    found = tuple(normal(value) for value in values[1:])
    if not found or len(set(found)) < len(found):
        raise DataError(f"{place}: @classLabel true needs the classes, each once; found {' '.join(values[1:]) or '-'}.")
    return found


def _count(values: Sequence[str], tag: str, place: str) -> int:
    if len(values) != 1 or not values[0].isdigit() or int(values[0]) < 1:
        raise DataError(f"{place}: {tag} needs a number of 1 or more, not {' '.join(values) or 'nothing'}.")
    return int(values[0])


def _case(line: str, header: _Header, place: str) -> Case:
    *channels, label = line.split(":")
    if not channels:
        raise DataError(f"{place}: a case is channels and a label with colons between; there is no colon.")
    if "(" in line:
        raise DataError(f"{place}: values in brackets are timestamps, which are not read.")
    if header.channels and len(channels) != header.channels:
        raise DataError(f"{place}: {len(channels)} channels, but the header says {header.channels}.")
    if header.flags.get("univariate") and len(channels) != 1:
        raise DataError(f"{place}: {len(channels)} channels, but the header says @univariate true.")
    if normal(label) not in header.classes:
        raise DataError(f"{place}: the label {label.strip()!r} is none of the header's {', '.join(header.classes)}.")
    columns = [_values(channel, place) for channel in channels]
    if len({len(column) for column in columns}) > 1:
        raise DataError(f"{place}: channels of {', '.join(str(len(column)) for column in columns)} values differ.")
    if header.flags.get("equallength") and header.length and len(columns[0]) != header.length:
        raise DataError(f"{place}: {len(columns[0])} values, but the header says @seriesLength {header.length}.")
    return Case(np.stack(columns, axis=1), normal(label))


def _values(text: str, place: str) -> Series:
    try:
        parts = [part.strip().casefold() for part in text.split(",")]
        values = np.array([np.nan if part in MISSING else float(part) for part in parts])
    except ValueError as problem:
        raise DataError(f"{place}: {problem}; a value is a number, ? or NaN.") from problem
    if np.isinf(values).any():
        raise DataError(f"{place}: a value is infinite; write ? for what is missing.")
    return values
