"""publish: turn finished runs into records, and records into leaderboards: markdown, a static page and plots."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import whole
from harness.api.errors import UsageError
from harness.terminal import say

if TYPE_CHECKING:
    from harness.boards.records import Shelf

# `<!-- leaderboard: begin TASK TASK -->` names the tasks whose tables stand there
BEGIN = re.compile(r"<!-- leaderboard: begin(?P<tasks>( [^\s>]+)*) -->")
END = "<!-- leaderboard: end -->"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folders at or below which finished runs lie")
    parser.add_argument(
        "--records", type=Path, metavar="FOLDER", help="where records are kept (OUT/records); they are never edited"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("leaderboards"), metavar="FOLDER", help="where pages go (leaderboards)"
    )
    parser.add_argument("--into", type=Path, metavar="FILE", help="write some tables between the markers of FILE too")
    parser.add_argument("--quote", action="store_true", help="show the texts of data sets in samples; mind the licence")
    parser.add_argument(
        "--allow-changed", action="store_true",
        help="publish runs of sources that differed from their commit too; their rows say so",
    )  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="fail when a cell is missing")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Add the runs' records, then write every page; the same records give the same bytes.

    Fails (1) when a record cannot be read, or with --strict when a model that could answer a family's task has not.
    """
    from harness import finished
    from harness.boards import excerpts, records, site

    folder = options.records or options.out / site.RECORDS
    found = list(finished.folders(options.runs))
    if not options.allow_changed:
        _unchanged(found)
    for place in (folder, options.out):
        whole.sweep(place, deep=True)
    added = sum(records.add(excerpts.record_of(run, options.quote), folder) for run in found)
    if not folder.is_dir():
        raise UsageError(f"no records at {folder}; name the runs to publish, or give --records.")
    shelf = records.load_all(folder)
    if not shelf.records and not shelf.problems:
        raise UsageError(f"{folder} holds no record; name the runs to publish.")
    files = site.build(shelf)
    site.write(files, options.out)
    if options.into is not None:
        into(options.into, shelf, options.out)
    for problem in shelf.problems:
        say(f"left out: {problem}")
    missing = _missing(shelf) if options.strict else []
    for cell in missing:
        say(f"missing: {cell}")
    say(f"{added} records added, {len(shelf.records)} in all: {options.out / 'README.md'}")
    return 1 if shelf.problems or missing else 0


def into(file: Path, shelf: Shelf, out: Path) -> None:
    """Replace what stands between the markers of a file by the tables that its first marker names."""
    from harness.boards import markdown
    from harness.boards.tables import boards
    from harness.cache import write_whole

    page = file.read_text(encoding="utf-8")
    where = Path(os.path.relpath(out, file.parent)).as_posix()
    write_whole(file, between(page, lambda tasks: markdown.extract(boards(shelf.current), tasks, where)))


def between(page: str, tables: Callable[[Sequence[str]], str]) -> str:
    """The page with what stands between its two markers replaced; UsageError when they are not there once each."""
    begins = list(BEGIN.finditer(page))
    if len(begins) != 1 or page.count(END) != 1 or begins[0].end() > page.index(END):
        raise UsageError(f"--into needs a file that holds <!-- leaderboard: begin TASK ... --> and, below it, {END}.")
    text = tables(begins[0]["tasks"].split())
    return f"{page[: begins[0].end()]}\n\n{text}\n\n{page[page.index(END) :]}"


def _unchanged(found: Sequence[Path]) -> None:
    """UsageError when sources that no commit holds made some of the runs: nobody could make their numbers again."""
    from harness import environment, results

    changed = [run for run in found if environment.changed(results.load(run).environment)]
    if changed:
        raise UsageError(
            f"{len(changed)} of {len(found)} runs come from sources that differed from their commit, the first is "
            f"{changed[0]}; commit the changes and run again, or publish them marked with --allow-changed."
        )


def _missing(shelf: Shelf) -> list[str]:
    from harness.boards.tables import boards, families, matrix

    groups = families(boards(shelf.current)).values()
    return [f"{name} on {task}" for group in groups for name, task in matrix(group).missing]
