"""How is a check's outcome shown? Terminal table, JUnit, GitHub summary and annotations, JSON: pure functions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any
from xml.etree import ElementTree

from harness.gate.verdicts import KINDS, Report, Verdict
from harness.terminal import plain, table

SUMMARY_BYTES = 1_000_000  # GitHub drops a step summary above 1024 KiB
MESSAGE = 300  # characters of a reason in a table
HEADERS = ("verdict", "cell", "measure", "reference", "candidate", "change", "interval", "n", "why")
RIGHT = frozenset({"reference", "candidate", "change", "n"})
MARKS = {"worse": "✗ worse", "error": "! error", "undecided": "? undecided"}


def as_table(report: Report) -> str:
    """What to look at first comes first; then one line of totals."""
    rows = [_row(verdict) for verdict in ordered(report.verdicts)]
    return (table(rows, HEADERS, RIGHT) + "\n\n" if rows else "") + totals(report)


def totals(report: Report) -> str:
    """How many verdicts of each kind."""
    counts = [f"{report.count(kind)} {kind}" for kind in KINDS if report.count(kind)]
    return f"{len(report.verdicts)} cells: {', '.join(counts) or 'nothing was compared'}"


def as_markdown(report: Report, limit: int = SUMMARY_BYTES) -> str:
    """A GitHub step summary of at most `limit` bytes; rows that do not fit are counted in its last line."""
    head = f"## Regression check\n\n{totals(report)}\n\n"
    facts = "".join(f"- {_cell(key)}: {_cell(value)}\n" for key, value in report.facts.items())
    lines = ["| " + " | ".join(HEADERS) + " |", "|" + " --- |" * len(HEADERS)]
    used = len((head + facts).encode()) + sum(len(line.encode()) + 1 for line in lines) + 200
    chosen = ordered(report.verdicts)
    for number, verdict in enumerate(chosen):
        row = _row(verdict)
        line = "| " + " | ".join(_cell(row[header]) for header in HEADERS) + " |"
        used += len(line.encode()) + 1
        if used > limit:
            lines.append(f"\n{len(chosen) - number} more rows do not fit here; the JSON report holds them all.")
            break
        lines.append(line)
    return head + "\n".join(lines) + "\n\n" + facts


def as_json(report: Report) -> str:
    """Everything; NaN and infinities are null."""
    rows = [
        {
            name: _finite(getattr(verdict, name))
            for name in (
                "question", "cell", "measure", "kind", "reason", "reference", "candidate", "change", "low", "high",
                "p", "count", "needed",
            )
        }
        for verdict in ordered(report.verdicts)
    ]  # fmt: skip
    return json.dumps({"schema": 1, "facts": report.facts, "verdicts": rows}, indent=1, allow_nan=False) + "\n"


def as_junit(report: Report) -> str:
    """One test case a cell: worse is a failure, an error an error, undecided and new are skipped."""
    suite = ElementTree.Element(
        "testsuite",
        name="harness check",
        tests=str(len(report.verdicts)),
        failures=str(report.count("worse")),
        errors=str(report.count("error")),
        skipped=str(report.count("undecided") + report.count("new")),
    )
    for verdict in ordered(report.verdicts):
        case = ElementTree.SubElement(
            suite, "testcase", classname=plain(f"{verdict.question}.{verdict.measure}"), name=plain(verdict.cell)
        )
        properties = ElementTree.SubElement(case, "properties")
        for name in ("reference", "candidate", "change", "low", "high", "p", "count"):
            ElementTree.SubElement(properties, "property", name=name, value=f"{getattr(verdict, name):g}")
        outcome = {"worse": "failure", "error": "error", "undecided": "skipped", "new": "skipped"}.get(verdict.kind)
        if outcome:
            ElementTree.SubElement(case, outcome, message=plain(verdict.reason), type=verdict.kind)
    root = ElementTree.Element("testsuites", name="harness check")
    root.append(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def workflow_commands(report: Report) -> list[str]:
    """GitHub workflow commands: an error for each worse or erroneous cell, a notice for undecided and better ones."""
    levels = {"worse": "error", "error": "error", "undecided": "notice", "better": "notice"}
    return [
        f"::{levels[verdict.kind]} title={_property(f'{verdict.kind}: {verdict.measure}')}::"
        + _command(plain(f"{verdict.cell}: {verdict.reason}"))
        for verdict in ordered(report.verdicts)
        if verdict.kind in levels
    ]


def ordered(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """What blocks first, then by question and cell."""
    return sorted(verdicts, key=lambda item: (KINDS.index(item.kind), item.question, item.cell, item.measure))


def _row(verdict: Verdict) -> dict[str, str]:
    relative = verdict.question == "speed"
    ends = [_change(end, relative) for end in (verdict.low, verdict.high)]
    return {
        "verdict": MARKS.get(verdict.kind, verdict.kind),
        "cell": verdict.cell,
        "measure": verdict.measure,
        "reference": _number(verdict.reference),
        "candidate": _number(verdict.candidate),
        "change": _change(verdict.change, relative),
        "interval": f"[{ends[0]}, {ends[1]}]" if all(ends) else "",
        "n": str(verdict.count) if verdict.count else "",
        "why": plain(verdict.reason, MESSAGE),
    }


def _number(value: float) -> str:
    return f"{value:.4g}" if isfinite(value) else ""


def _change(value: float, relative: bool) -> str:
    if not isfinite(value):
        return ""
    return f"{value:+.1%}" if relative else f"{value:+.4g}"


def _cell(value: Any) -> str:
    """Text that can neither end a cell nor become markup."""
    text = plain(str(value))
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;"), ("`", "&#96;")):
        text = text.replace(sign, entity)
    for sign in "[]*_!":
        text = text.replace(sign, "\\" + sign)
    return text


def _command(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _command(plain(text)).replace(":", "%3A").replace(",", "%2C")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value
