"""rescore: compute a finished run's metrics again from its stored responses, without its model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness import finished, outcomes, rescoring, sources
from harness.commands.fetch import own_folders
from harness.planning import Cell
from harness.runner import Finished, Outcome
from harness.terminal import say


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders at or below which finished runs lie")
    parser.add_argument("--own", action="append", default=[], metavar="DATASET=FOLDER", help="use your own files")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Print the results under the task's present metrics; a run whose metrics changed gets a folder beside its own."""
    places = sources.from_environment(say, own=own_folders(options.own))
    done = []
    for run in list(finished.folders(options.runs)):
        result, folder = rescoring.rescore(run, places, say)
        cell = Cell(result.task, result.model, result.decoder, seed=result.signature["seed"])
        done.append(Outcome(cell, Finished(result, folder)))
    print(json.dumps(outcomes.as_json(done), indent=1) if options.json else outcomes.as_table(done))
    return 1 if outcomes.failed(done) else 0
