"""Which finished runs lie at or below the paths that a user named? Their files, or their folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.api.errors import DataError, UsageError
from harness.journal import RESULT


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The result file of each finished run, in order; a path to a file (a result or a record) stands for itself.

    Errors: UsageError for a path that does not exist, DataError for a folder without a finished run.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist.")
        if path.is_file():
            yield path
            continue
        found = sorted(path.rglob(RESULT))
        if not found:
            raise DataError(f"no finished run lies at or below {path}.")
        yield from found


def folders(paths: Iterable[Path]) -> Iterator[Path]:
    """The folder of each finished run."""
    for file in files(paths):
        if file.name != RESULT:
            raise UsageError(f"{file} is no folder of runs; give the folder that `harness run --out` wrote.")
        yield file.parent
