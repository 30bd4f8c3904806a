"""publish: write a markdown leaderboard from finished runs, one table a task."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import outcomes, results
from harness.api.errors import UsageError
from harness.cache import write_whole
from harness.journal import RESULT
from harness.planning import Cell
from harness.runner import Finished, Outcome
from harness.terminal import say

BEGIN, END = "<!-- leaderboard: begin -->", "<!-- leaderboard: end -->"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "runs", nargs="*", type=Path, default=[Path("runs")], help="folders below which runs lie (runs)"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/leaderboard.md"), help="the file to write")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write between the markers of this file instead")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Collect every finished run, and write the tables; the same runs give the same bytes."""
    files = sorted({file for folder in options.runs for file in _results(folder)})
    if not files:
        raise UsageError(f"no finished run lies below {', '.join(map(str, options.runs))}.")
    done = []
    for file in files:
        result = results.load(file)
        cell = Cell(result.task, result.model, result.decoder, seed=result.signature["seed"])
        done.append(Outcome(cell, Finished(result, file.parent)))
    done.sort(key=lambda outcome: (outcome.cell.task, outcome.cell.model, outcome.cell.decoder or ""))
    if options.into is None:
        write_whole(options.out, outcomes.as_markdown(done))
    else:
        write_whole(options.into, between(options.into.read_text(encoding="utf-8"), outcomes.as_tables(done)))
    say(f"{len(done)} runs: {options.into or options.out}")
    return 0


def between(page: str, tables: str) -> str:
    """The page with what stands between its two markers replaced; UsageError when they are not there once each."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise UsageError(f"--into needs a file that holds {BEGIN} and, below it, {END}, once each.")
    return f"{page.partition(BEGIN)[0]}{BEGIN}\n\n{tables}\n\n{END}{page.partition(END)[2]}"


def _results(folder: Path) -> list[Path]:
    if not folder.exists():
        raise UsageError(f"{folder} does not exist.")
    return [folder] if folder.is_file() else list(folder.rglob(RESULT))
