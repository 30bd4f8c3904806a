"""check: gate a change on accuracy (against records) and speed (against another revision), cell by cell."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import registry
from harness.api.errors import UsageError
from harness.terminal import say

if TYPE_CHECKING:
    from harness.gate.verdicts import Report, Verdict
    from harness.results import RunResult


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--baseline", type=Path, metavar="FOLDER", help="records that accuracy is compared with")
    parser.add_argument(
        "--candidate", type=Path, nargs="+", metavar="RUNS", help="finished runs to judge (default: run the cells now)"
    )
    parser.add_argument("--task", default="", metavar="T[,T2]", help="only these tasks of the baseline (all)")
    parser.add_argument("--model", default="", metavar="M[,M2]", help="only these models of the baseline (all)")
    parser.add_argument("--all-metrics", action="store_true", help="judge every metric, not the headline alone")
    parser.add_argument(
        "--accuracy-margin", type=float, default=0.01, metavar="M", help="loss that matters, of the scale (0.01)"
    )
    parser.add_argument("--against", default="", metavar="REF", help="git revision that speed is compared with")
    parser.add_argument(
        "--speed",
        action="append",
        default=[],
        metavar="CELL",
        help="startup, kernel:NAME[@T=512], score:MODEL, prefill:MODEL, decode:MODEL, train:MODEL@TASK or "
        "call:MODULE:FUNCTION; repeatable (start-up and all kernels)",
    )
    parser.add_argument("--speed-margin", type=float, default=0.05, metavar="M", help="slow-down that matters (0.05)")
    parser.add_argument("--speed-seconds", type=float, default=120.0, metavar="S", help="time for all cells (120)")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="FOLDER", help="where runs are kept (runs)")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="append a GitHub step summary ($GITHUB_STEP_SUMMARY)"
    )
    parser.add_argument("--json", action="store_true", help="print as JSON instead of a table")
    parser.add_argument(
        "--undecided", type=int, choices=(0, 1, 3), default=3, help="exit code when a cell is undecided (3)"
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """0 same or better, 1 worse, 2 wrong usage or incomparable, 3 undecided."""
    if options.baseline is None and not options.against:
        raise UsageError("check needs --baseline FOLDER (accuracy), --against REF (speed), or both.")
    for name in ("accuracy_margin", "speed_margin", "speed_seconds"):
        if not 0 < getattr(options, name) < float("inf"):
            raise UsageError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be more than 0.")
    verdicts: list[Verdict] = []
    facts: dict[str, object] = {}
    if options.baseline is not None:
        verdicts += _accuracy(options)
        facts["accuracy margin"] = options.accuracy_margin
    if options.against:
        verdicts += _speed(options, facts)

    from harness.gate.verdicts import Report

    report = Report(verdicts, facts)
    _show(report, options)
    return report.exit_code(options.undecided)


def _accuracy(options: argparse.Namespace) -> list[Verdict]:
    from harness.gate import accuracy

    tasks = registry.select("task", options.task) if options.task else []
    models = registry.select("model", options.model) if options.model else []
    records, broken = accuracy.load_results(options.baseline)
    reference: dict[str, RunResult] = {}
    for record in records:
        if (not tasks or record.task in tasks) and (not models or record.model in models):
            reference[accuracy.cell_name(record)] = record
    if not reference and not broken:
        raise UsageError(f"no record below {options.baseline} is of --task {options.task} --model {options.model}.")
    found: dict[str, list[RunResult]] = {}
    for result in _candidates(options, list(reference.values()), broken):
        found.setdefault(accuracy.cell_name(result), []).append(result)
    if tasks or models:
        found = {cell: results for cell, results in found.items() if cell in reference}
    rules = accuracy.AccuracyRules(margin=options.accuracy_margin, all_metrics=options.all_metrics)
    return broken + accuracy.check_results(reference, found, rules)


def _candidates(
    options: argparse.Namespace, records: Sequence[RunResult], broken: list[Verdict]
) -> Sequence[RunResult]:
    from harness.gate import accuracy

    if options.candidate:
        loaded = [accuracy.load_results(folder) for folder in options.candidate]
        broken += [verdict for _, problems in loaded for verdict in problems]
        return [result for results, _ in loaded for result in results]
    from harness import runner, sources
    from harness.progress import Display
    from harness.session import Session

    cells = [accuracy.cell_of(record) for record in records]
    with Display(len(cells)) as display:
        session = Session(
            sources=sources.from_environment(display.announce),
            out=options.out,
            announce=display.announce,
            progress=display,
        )
        outcomes = list(runner.run_all(cells, session))
    for outcome in outcomes:
        if outcome.error is not None:
            say(f"failed: {outcome.cell.title}: {outcome.error}")
    return [outcome.finished.result for outcome in outcomes if outcome.finished]


def _speed(options: argparse.Namespace, facts: dict[str, object]) -> list[Verdict]:
    from harness import environment
    from harness.gate import sides, speed

    cells = options.speed or ["startup", *(f"kernel:{name}" for name in registry.names("kernel"))]
    root = sides.repository()
    rules = speed.SpeedRules(margin=options.speed_margin, seconds=options.speed_seconds)
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder:
        say(f"speed: installing {options.against} and the working tree side by side")
        reference = sides.install_reference(root, options.against, Path(folder))
        candidate = sides.install_candidate(root, Path(folder))
        facts |= {
            "reference": f"{options.against} ({reference.revision[:12]})",
            "candidate": f"working tree on {candidate.revision[:12]}",
            "speed margin": options.speed_margin,
            "processor": f"{environment.cpu_name()}, {environment.usable_cores()} cores",
            "calibration": f"{speed.calibration() * 1000:.1f} ms for 200,000 steps of plain Python",
        }
        return speed.compare_speed(reference, candidate, cells, rules, progress=say)


def _show(report: Report, options: argparse.Namespace) -> None:
    from harness.cache import write_whole
    from harness.gate import report as shown

    print(shown.as_json(report) if options.json else shown.as_table(report))
    if options.junit is not None:
        write_whole(options.junit, shown.as_junit(report))
    summary = options.summary or os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with open(summary, "a", encoding="utf-8") as file:
            file.write(shown.as_markdown(report))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # workflow commands may stand on stderr too, so that --json stays JSON
        for line in shown.workflow_commands(report):
            print(line, file=sys.stderr)
