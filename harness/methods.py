"""Which method gave an interval? Its letter in a table, and the line that says what each letter means."""

from __future__ import annotations

from collections.abc import Iterable

from harness.results import OLDER

AND = " and "  # between the methods of an interval that holds two kinds of doubt
LETTERS = {
    "Wilson": "W",
    "score t": "S",
    "jackknife t": "J",
    "percentile t": "P",
    "whole scale": "A",
    "t over seeds": "T",
    "normal": "N",
    OLDER: "O",
}
TOLD = {
    "W": "Wilson",
    "S": "score interval with the jackknife's spread and Student's t",
    "J": "jackknife and Student's t",
    "P": "percentile bootstrap widened to Student's t",
    "A": "the whole scale, for want of a second example",
    "T": "Student's t over seeds",
    "N": "1.96 standard errors, as imported",
    "O": f"{OLDER}, from results without stored statistics",
}


def mark(method: str) -> str:
    """The letters of a method, as `W`, or `WT` for Wilson's within a seed and Student's over seeds."""
    return "".join(LETTERS.get(part, "") for part in method.split(AND))


def legend(marks: Iterable[str]) -> str:
    """What the letters among these marks mean, in the order of `TOLD`; empty where there is none."""
    used = set("".join(marks))
    return "; ".join(f"{letter} {told}" for letter, told in TOLD.items() if letter in used)
