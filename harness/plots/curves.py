"""How did training go? Loss against steps for every row whose model keeps its history."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from harness.boards.tables import Board
from harness.plots.drawing import colour, label, panels, styled, to_svg

PANELS = 6
HISTORY = "history"  # key of a model's identity: (step, training loss, validation loss) a line


@styled
def draw(boards: Sequence[Board]) -> str:
    """One panel a board with at least one history; "" when there is none."""
    chosen = [(board, lines) for board in boards if (lines := histories(board))][:PANELS]
    if not chosen:
        return ""
    figure, axes = panels(len(chosen))
    for (board, lines), axis in zip(chosen, axes, strict=True):
        for place, (name, points) in enumerate(lines):
            steps, training, validation = zip(*points, strict=True)
            axis.plot(steps, training, color=colour(place), linewidth=1.2, label=label(name))
            if any(isfinite(value) for value in validation):
                axis.plot(steps, validation, color=colour(place), linewidth=1.2, linestyle="--")
        axis.set_xlabel("step")
        axis.set_ylabel("loss (validation dashed)")
        axis.set_title(label(board.task, 48))
        axis.legend(loc="best", fontsize=7)
    return to_svg(figure, "Training curves", ", ".join(board.task for board, _ in chosen))


def histories(board: Board) -> list[tuple[str, list[tuple[float, float, float]]]]:
    """Rows with a history of two or more points."""
    found = []
    for row, record in zip(board.rows, board.records, strict=True):
        points = _points(record.result.identity.get(HISTORY))
        if len(points) >= 2:
            found.append((row.name, points))
    return found


def _points(stored: Any) -> list[tuple[float, float, float]]:
    if not isinstance(stored, (list, tuple)):
        return []
    return [
        (float(line[0]), float(line[1]), float(line[2]))
        for line in stored
        if isinstance(line, (list, tuple)) and len(line) == 3 and all(isinstance(item, (int, float)) for item in line)
    ]
