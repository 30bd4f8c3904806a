"""import: add rows from lm-eval result files to the records, marked as imported and never ranked."""  # noqa: N999 - the verb is a keyword

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.terminal import say

if TYPE_CHECKING:
    from harness.boards.records import Record


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="lm-eval results files (JSON)")
    parser.add_argument(
        "--as", dest="names", action="append", default=[], metavar="TASK=NAME",
        help="our task that lm-eval's task NAME stands beside (else it becomes lm-eval/NAME)",
    )  # fmt: skip
    parser.add_argument("--model", default="", help="the name to show (the file's own)")
    parser.add_argument(
        "--records", type=Path, default=Path("leaderboards/records"), metavar="FOLDER", help="where records are kept"
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Add one record a task of each file."""
    from harness.boards import records

    names = dict(_pair(text) for text in options.names)
    # every file is read before the first record is written
    found = [record for file in options.files for record in _read(file, names, options.model)]
    added = sum(records.add(record, options.records) for record in found)
    say(f"{added} records added to {options.records}; `harness publish` writes the boards.")
    return 0


def _read(file: Path, names: Mapping[str, str], model: str) -> list[Record]:
    from harness.exchange import lm_eval

    try:
        return lm_eval.read(file.read_text(encoding="utf-8"), names, model)
    except (OSError, UnicodeDecodeError, DataError) as problem:
        raise DataError(f"{file} cannot be read: {problem}") from problem


def _pair(text: str) -> tuple[str, str]:
    # a spec may hold equals signs, a name of lm-eval's does not
    spec, _, name = text.rpartition("=")
    if not spec or not name:
        raise UsageError(f"--as {text!r} should be TASK=NAME: our task, then lm-eval's name of it.")
    (found,) = registry.select("task", spec)
    return registry.canonical("task", found), name
