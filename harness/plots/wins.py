"""On how many examples does the best row win, tie or lose against each other row? Bars of counts."""

from __future__ import annotations

from collections.abc import Sequence

from harness.boards.ranking import wins
from harness.boards.tables import Board, widest
from harness.plots.axes import Axis
from harness.plots.drawing import Box, Key, Note, Panel, Shape, label, text_width, to_svg

PANELS = 6
OPPONENTS = 8
NAMES = 26  # characters of a name
BARS = 200  # pixels that the longest bar has at least
FILLS = (("wins", "c0", "ondark"), ("ties", "grey", "onlight"), ("losses", "c1", "ondark"))
BAR = 0.35  # half the thickness of a bar, whose neighbours are 1 apart
ROW = 24  # pixels a bar


def draw(boards: Sequence[Board]) -> str:
    """One panel a board with two comparable rows; "" when there is none."""
    chosen = [(board, against) for board in widest(boards) if (against := duels(board))][:PANELS]
    if not chosen:
        return ""
    what = "; ".join(f"{board.task}: {board.rows[0].name} against {len(against)} others" for board, against in chosen)
    return to_svg([_panel(board, against) for board, against in chosen], "Examples won, tied and lost", what)


def _panel(board: Board, against: Sequence[tuple[str, tuple[int, int, int]]]) -> Panel:
    total = max(sum(counts) for _, counts in against)
    shapes: list[Shape] = []
    for row, (_, counts) in enumerate(against):
        start = 0
        for count, (_, fill, ink) in zip(counts, FILLS, strict=True):
            if count:
                shapes.append(Box((start, row - BAR), (start + count, row + BAR), fill))
            if count > total * text_width(str(count), 10) / BARS:
                shapes.append(Note((start + count / 2, row), str(count), "middle", (0, 3.5), f"small {ink}"))
            start += count
    names = tuple((float(row), label(name, NAMES)) for row, (name, _) in enumerate(against))
    return Panel(
        title=[label(board.task, 52), f"{label(board.rows[0].name, 44)} against"],
        x=Axis("examples", 0, total),
        y=Axis("", -0.6, len(against) - 0.4, flipped=True, names=names, grid=False),
        shapes=shapes,
        legend=[Key(told, fill, "box") for told, fill, _ in FILLS],
        height=ROW * len(against),
    )


def duels(board: Board) -> list[tuple[str, tuple[int, int, int]]]:
    """The best row's wins, ties and losses against the next ones, where the same examples were answered."""
    found = []
    for row, record in list(zip(board.rows, board.records, strict=True))[1 : OPPONENTS + 1]:
        counts = wins(board.records[0], record) if row.rank else None
        if counts is not None:
            found.append((row.name, counts))
    return found
