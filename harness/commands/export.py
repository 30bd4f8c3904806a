"""export: write runs or records in another program's format."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.errors import UsageError
from harness.terminal import say

if TYPE_CHECKING:
    from harness.results import RunResult

FORMATS = ("lm-eval", "mteb", "eval-results", "model-index", "every-eval-ever", "csv", "parquet")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folders at or below which runs lie, or files of records"
    )
    parser.add_argument("--format", required=True, choices=FORMATS, help="the format to write")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write (standard output)")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Write the runs."""
    from harness import finished, results
    from harness.cache import write_whole

    found = [results.load(file) for file in finished.files(options.runs)]
    if options.format == "parquet":
        from harness.exchange import flat

        if options.out is None:
            raise UsageError("parquet is not text; name the file with --out.")
        flat.write_parquet(found, options.out)
    else:
        text = _writers()[options.format](found)
        if options.out is None:
            sys.stdout.write(text)
            return 0
        write_whole(options.out, text)
    say(f"{len(found)} runs: {options.out}")
    return 0


def _writers() -> dict[str, Callable[[Sequence[RunResult]], str]]:
    from harness.exchange import every_eval_ever, flat, hub, lm_eval, mteb

    return {
        "lm-eval": lm_eval.export,
        "mteb": mteb.export,
        "eval-results": hub.eval_results,
        "model-index": hub.model_index,
        "every-eval-ever": every_eval_ever.export,
        "csv": flat.as_csv,
    }
