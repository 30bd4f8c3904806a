"""What does a paper's appendix say of some runs? Protocol, results with intervals, signatures, commands, LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from harness.api import registry
from harness.api.errors import HarnessError
from harness.boards import markdown
from harness.boards.intervals import with_todays
from harness.boards.markdown import inert
from harness.boards.ranking import COMPARED, DRAWS, LEVEL
from harness.boards.records import Record
from harness.boards.rows import Row, command, shown
from harness.boards.tables import Board, boards
from harness.methods import legend, mark
from harness.terminal import plain

COLUMNS = (
    "rank",
    "model",
    "metric",
    "value",
    "95% interval",
    "same as",
    "n",
    "failed",
    "tokens/s",
    "examples/s",
    "memory",
)
FACTS = (("Paper", "paper"), ("Licence", "licence"), ("Differs from the paper", "differs"))
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$^\dagger$", "–": "--",
}  # fmt: skip


def write(records: Sequence[Record]) -> str:
    """The page as markdown; the same records give the same bytes in any order."""
    records = [replace(record, result=with_todays(record.result)) for record in records]
    found = boards(records)
    parts = ["# Evaluation protocol and results", _protocol(records, found)]
    for board in found:
        parts += [f"## {inert(board.task)}", _about(board), markdown.table(board, COLUMNS), _latex(board)]
    parts += ["## Signatures", _signatures(found)]
    return "\n\n".join(parts) + "\n"


def _protocol(records: Sequence[Record], found: Sequence[Board]) -> str:
    results = [record.result for record in records]
    versions = sorted({str(result.signature.get("harness")) for result in results})
    machines = sorted({str(result.environment.get("cpu") or "an unnamed machine") for result in results})
    dates = sorted(str(result.environment.get("date", ""))[:10] for result in results)
    seeds = sorted({str(result.signature["seed"]) for result in results})
    marks = {mark(row.method) for board in found for row in board.rows if row.low is not None}
    failed = sum(result.failed for result in results)
    return (
        f"{len(results)} runs with seqharness {', '.join(map(inert, versions))} between {inert(dates[0])} and "
        f"{inert(dates[-1])} on {', '.join(map(inert, machines))}; seeds {', '.join(map(inert, seeds))}. "
        "Intervals are of 95%, over examples (over clusters where examples are not independent), by the method whose "
        f"letter follows: {legend(marks)}. Rows of one table that share a letter are not separated at {LEVEL:.0%} by "
        "a paired t test on the same examples (standard errors from the jackknife, or from "
        f"{DRAWS:,} resamples for metrics that are no sums) with Holm's correction over all pairs of the best "
        f"{COMPARED}. {failed:,} of {sum(result.examples for result in results):,} examples failed; they are counted "
        "and never scored. Speeds are over the time inside the model and hold for the named machine; "
        "† marks those taken while other work ran on it."
    )


def _about(board: Board) -> str:
    try:
        facts = registry.card("task", registry.parse(board.task)[0]).facts
    except HarnessError:
        # a task from elsewhere has no card here
        facts = {}
    told = [f"{inert(board.caption[:1].upper() + board.caption[1:])}."]
    told += [f"{name}: {inert(facts[key]).rstrip('.')}." for name, key in FACTS if facts.get(key)]
    metrics = next((record.result.signature.get("metrics") or {} for record in board.records), {})
    told.append(
        "Metrics: " + "; ".join(f"`{plain(str(value)).replace('`', chr(39))}`" for value in metrics.values()) + "."
    )
    return " ".join(told)


def _latex(board: Board) -> str:
    rows = [_latex_row(row) for row in board.rows]
    metric = latex(shown(board.rows[0])["metric"])
    lines = [
        "```latex",
        r"\begin{tabular}{rllrr}",
        r"\toprule",
        rf"Rank & Model & & {metric} (95\% interval) & Examples/s \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        "```",
    ]
    return "\n".join(lines)


def _latex_row(row: Row) -> str:
    cells = shown(row)
    value = " ".join(part for part in (cells["value"], cells["95% interval"]) if part)
    return (
        " & ".join(latex(cell) for cell in (cells["rank"], cells["model"], row.letters, value, cells["examples/s"]))
        + r" \\"
    )


def latex(text: str) -> str:
    """Text that LaTeX sets as it stands."""
    return "".join(LATEX.get(letter, letter) for letter in re.sub("`", "'", plain(text)))


def _signatures(found: Sequence[Board]) -> str:
    told = [
        plain(f"{row.digest}  {command(record.result)}").replace("`", "'")
        for board in found
        for row, record in zip(board.rows, board.records, strict=True)
    ]
    return "\n".join(["```text", *told, "```"])
