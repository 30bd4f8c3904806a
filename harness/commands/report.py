"""report: one page on some runs for a paper's appendix: protocol, signatures, intervals, tables, LaTeX."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folders at or below which runs lie, or files of records"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write (standard output)")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Write the page as markdown."""
    from harness import finished, results
    from harness.boards import appendix
    from harness.boards.records import Record
    from harness.cache import write_whole

    page = appendix.write([Record(results.load(file)) for file in finished.files(options.runs)])
    if options.out is None:
        sys.stdout.write(page)
    else:
        write_whole(options.out, page)
    return 0
