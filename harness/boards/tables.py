"""Which records stand in one table, and in what order? Boards by protocol, families of boards, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from harness import multiple
from harness.api import registry
from harness.api.errors import HarnessError
from harness.boards import seeds
from harness.boards.ranking import Standing, protocol, standings
from harness.boards.records import Record
from harness.boards.rows import Row, row_of

# T tasks, K contestants
TESTED = 20  # contestants whose mean ranks are compared pair by pair


@dataclass(frozen=True, slots=True)
class Board:
    """The rows of one protocol, best first; rows from elsewhere follow without a rank."""

    task: str
    family: str
    caption: str
    rows: tuple[Row, ...]
    records: tuple[Record, ...]  # in the order of `rows`


@dataclass(frozen=True, slots=True)
class Matrix:
    """Contestants against boards; a value where there is a result, and which cells are missing or impossible."""

    contestants: tuple[str, ...]
    boards: tuple[Board, ...]
    cells: Mapping[tuple[str, int], Row]
    impossible: frozenset[tuple[str, int]]  # the model has no door for the task
    mean_ranks: Mapping[str, float]  # of contestants with a value on every board
    ranking: multiple.Ranking | None  # over `complete`; None for too few tasks or more than `TESTED` contestants
    complete: tuple[str, ...]

    @property
    def missing(self) -> list[tuple[str, str]]:
        """(contestant, task) that could have a result and has none."""
        return [
            (name, board.task)
            for name in self.contestants
            for place, board in enumerate(self.boards)
            if (name, place) not in self.cells and (name, place) not in self.impossible
        ]


def boards(records: Sequence[Record]) -> list[Board]:
    """One board a protocol and set of seeds, in an order that does not depend on that of the records."""
    ordered = sorted(records, key=_key)
    protocols: dict[tuple[str, ...], list[Record]] = {}
    for record in ordered:
        if not record.imported:
            protocols.setdefault(protocol(record, seed=False), []).append(record)
    groups = [group for alike in protocols.values() for group in seeds.groups(alike)]
    elsewhere: dict[str, list[Record]] = {}
    for record in ordered:
        if record.imported:
            elsewhere.setdefault(record.result.task, []).append(record)
    found = [_board(group, elsewhere.pop(group[0].result.task, [])) for group in groups]
    found += [_board([], group) for group in elsewhere.values()]
    return sorted(found, key=lambda board: (board.family, board.task, board.caption))


def families(found: Sequence[Board]) -> dict[str, list[Board]]:
    """Boards by the first part of their task's name."""
    grouped: dict[str, list[Board]] = {}
    for board in found:
        grouped.setdefault(board.family, []).append(board)
    return grouped


def widest(found: Sequence[Board]) -> tuple[Board, ...]:
    """One board a task: the one with most rows, else the one with most examples."""
    chosen: dict[str, Board] = {}
    for board in found:
        best = chosen.setdefault(board.task, board)
        if _weight(board) > _weight(best):
            chosen[board.task] = board
    return tuple(chosen[task] for task in sorted(chosen))


def matrix(found: Sequence[Board]) -> Matrix:
    """Contestants against tasks, one board a task.

    Mean ranks are over contestants that have a value on every board; a mean over unequal sets of tasks is refused.
    """
    used = widest(found)
    cells: dict[tuple[str, int], Row] = {}
    for place, board in enumerate(used):
        for row in board.rows:
            if row.origin == "harness":
                cells.setdefault((row.name, place), row)
    names = tuple(sorted({name for name, _ in cells}))
    impossible = frozenset(
        (name, place)
        for name in names
        for place, board in enumerate(used)
        if (name, place) not in cells and not _fits(name, board.task)
    )
    complete = tuple(name for name in names if all(_valued(cells.get((name, place))) for place in range(len(used))))
    ranking, means = None, {}
    if len(complete) >= 2 and len(used) >= 2:
        scores_TK = np.array([[_score(cells[name, place]) for name in complete] for place in range(len(used))])
        means = dict(zip(complete, multiple.ranks(scores_TK).mean(axis=0).tolist(), strict=True))
        ranking = multiple.rank(scores_TK) if len(complete) <= TESTED else None
    return Matrix(names, used, cells, impossible, means, ranking, complete)


def _board(group: Sequence[Record], elsewhere: Sequence[Record]) -> Board:
    ordered = standings(group) + [Standing(record, 0, "") for record in elsewhere]
    records = tuple(standing.record for standing in ordered)
    first = (group or elsewhere)[0].result
    return Board(
        task=first.task,
        family=first.task.partition("/")[0].partition(":")[0],
        caption=_caption(group[0]) if group else "rows from elsewhere, each by its own protocol",
        rows=tuple(row_of(standing, records) for standing in ordered),
        records=records,
    )


def _caption(record: Record) -> str:
    signature = record.result.signature
    limit = "all examples" if signature.get("limit") is None else f"the first {signature['limit']} examples"
    version = signature.get("task_version", "?")
    data = str(signature.get("data"))
    short = data if len(data) <= 40 else f"{data[:32]}…"
    seeds_run = f"seed {signature['seed']}"
    if record.parts:
        seeds_run = f"means over {len(record.parts)} seeds ({signature['seed']})"
    return f"version {version}, {signature['split']} split, {limit}, {seeds_run}, data {short}"


def _weight(board: Board) -> tuple[int, int, str]:
    ours = [row for row in board.rows if row.origin == "harness"]
    return (len(ours), max((row.n for row in ours), default=0), board.caption)


def _fits(name: str, task: str) -> bool:
    """Whether the contestant has a door for the task; yes where either is not known here."""
    model = name.partition(" + ")[0]
    ours, theirs = _doors("model", model), _doors("task", task)
    return not ours or not theirs or bool(ours & theirs)


@cache
def _doors(kind: registry.Kind, spec: str) -> frozenset[str]:
    try:
        doors = registry.card(kind, registry.parse(spec)[0]).facts.get("doors", ())
    except HarnessError:
        # a plug-in that is not installed here
        return frozenset()
    return frozenset(doors) if isinstance(doors, tuple) else frozenset()


def _valued(row: Row | None) -> bool:
    return row is not None and row.value is not None


def _score(row: Row) -> float:
    assert row.value is not None
    return row.value if row.higher_is_better else -row.value


def _key(record: Record) -> tuple[str, str, str, str]:
    result = record.result
    return (result.task, result.model, result.decoder or "", result.digest)
