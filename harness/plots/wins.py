"""On how many examples does the best row win, tie or lose against each other row? Bars of counts."""

from __future__ import annotations

from collections.abc import Sequence

from harness.boards.ranking import wins
from harness.boards.tables import Board, widest
from harness.plots.drawing import ON_DARK, ON_LIGHT, colour, label, panels, styled, to_svg

PANELS = 6
OPPONENTS = 8
FILLS = (("wins", 0), ("ties", -1), ("losses", 1))
GREY = "#9aa4ae"


@styled
def draw(boards: Sequence[Board]) -> str:
    """One panel a board with two comparable rows; "" when there is none."""
    chosen = [(board, against) for board in widest(boards) if (against := duels(board))][:PANELS]
    if not chosen:
        return ""
    tallest = max(len(against) for _, against in chosen)
    figure, axes = panels(len(chosen), height=1.3 + 0.3 * tallest)
    for (board, against), axis in zip(chosen, axes, strict=True):
        names = [name for name, _ in against]
        left = [0.0] * len(names)
        for place, (told, shade) in enumerate(FILLS):
            widths = [counts[place] for _, counts in against]
            fill = GREY if shade < 0 else colour(shade)
            axis.barh(range(len(names)), widths, left=left, color=fill, label=told, height=0.7)
            for row, width in enumerate(widths):
                if width:
                    ink = ON_LIGHT if shade < 0 else ON_DARK
                    axis.text(left[row] + width / 2, row, str(width), ha="center", va="center", fontsize=7.5, color=ink)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axis.set_yticks(range(len(names)), [label(name, 28) for name in names])
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        axis.set_xlabel("examples")
        axis.set_title(f"{label(board.task, 40)}\n{label(board.rows[0].name, 34)} against")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(FILLS), fontsize=8)
    what = "; ".join(f"{board.task}: {board.rows[0].name} against {len(against)} others" for board, against in chosen)
    return to_svg(figure, "Examples won, tied and lost", what)


def duels(board: Board) -> list[tuple[str, tuple[int, int, int]]]:
    """The best row's wins, ties and losses against the next ones, where the same examples were answered."""
    found = []
    for row, record in list(zip(board.rows, board.records, strict=True))[1 : OPPONENTS + 1]:
        counts = wins(board.records[0], record) if row.rank else None
        if counts is not None:
            found.append((row.name, counts))
    return found
