"""Which tables are one experiment over many data sets? A task run over the names of one parameter is a suite.

`few_shot_series/uea:dataset=ACSF1,k=1` and its fifteen sisters are one question, asked of sixteen data sets: what a
reader wants is one table of means, mean ranks and which of them differ. Numbers (a length, a number of keys) make no
suite: they are points of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean

from harness.api import registry
from harness.api.errors import HarnessError
from harness.boards.rows import Row
from harness.boards.tables import Board, Matrix, matrix

FEWEST = 3  # data sets


@dataclass(frozen=True, slots=True)
class Suite:
    """Boards of one task that differ in one named parameter."""

    title: str  # the task with what its boards have in common
    axis: str  # the parameter that they differ in
    places: tuple[str, ...]  # its value, one a board of `matrix`
    matrix: Matrix


def suites(boards: Sequence[Board]) -> tuple[list[Suite], list[Board]]:
    """The suites among the boards of a family, and the boards that belong to none."""
    by_task: dict[str, list[tuple[Board, dict[str, str]]]] = {}
    for board in boards:
        name, given = _parsed(board.task)
        by_task.setdefault(name, []).append((board, given))
    found: list[Suite] = []
    loose: set[int] = set()
    for name, members in by_task.items():
        axis = _axis([given for _, given in members])
        shared: dict[tuple[tuple[str, str], ...], list[tuple[Board, dict[str, str]]]] = {}
        for board, given in members:
            rest = tuple(sorted((key, value) for key, value in given.items() if key != axis))
            shared.setdefault(rest, []).append((board, given))
        varied = [key for key in dict(next(iter(shared), ())) if len({dict(rest).get(key) for rest in shared}) > 1]
        for rest, group in sorted(shared.items()):
            places = {board.task: given.get(axis, "") for board, given in group}
            if not axis or len(places) < FEWEST:
                loose |= {id(board) for board, _ in group}
                continue
            common = registry.format_spec(name, {key: value for key, value in rest if key in varied})
            whole = matrix([board for board, _ in group])
            named = tuple(places[board.task] for board in whole.boards)
            found.append(Suite(common, axis, named, whole))
    return found, [board for board in boards if id(board) in loose]


def summary(suite: Suite) -> Board:
    """Means over the data sets as one board, of contestants that have them all; for pictures."""
    boards = suite.matrix.boards
    rows = []
    for name in suite.matrix.complete:
        mine = [suite.matrix.cells[name, place] for place in range(len(boards))]
        speeds = [row.examples_per_second for row in mine if row.examples_per_second]
        pace = len(speeds) / sum(1 / speed for speed in speeds) if len(speeds) == len(mine) else None
        rows.append(
            replace(mine[0], value=mean(mine), low=None, high=None, examples_per_second=pace, n=sum(r.n for r in mine),
                    busy=any(row.busy for row in mine))
        )  # fmt: skip
    caption = f"means over {len(boards)} values of {suite.axis}"
    ordered = sorted(rows, key=lambda row: -(row.value or 0.0) if row.higher_is_better else row.value or 0.0)
    return Board(suite.title, boards[0].family, caption, tuple(ordered), ())


def mean(rows: Sequence[Row]) -> float:
    """The mean of rows that all have a value."""
    return fmean(row.value for row in rows if row.value is not None)


def _axis(members: Sequence[dict[str, str]]) -> str:
    """The parameter with most different names among its values; "" when there is none."""
    counts = {
        key: len({given.get(key, "") for given in members})
        for key in sorted({key for given in members for key in given})
        if all(not _is_number(given.get(key, "")) for given in members)
    }
    widest = max(counts, key=lambda key: counts[key], default="")
    return widest if widest and counts[widest] >= FEWEST else ""


@cache
def _defaults(name: str) -> dict[str, str]:
    try:
        return {item.name: str(item.default).strip("'\"") for item in registry.card("task", name).parameters}
    except HarnessError:
        # a plug-in's task that is not installed here, or a row from elsewhere
        return {}


def _parsed(task: str) -> tuple[str, dict[str, str]]:
    try:
        name, given = registry.parse(task)
    except HarnessError:
        return task, {}
    return name, _defaults(name) | given


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("+", "").lstrip("-").isdigit()
