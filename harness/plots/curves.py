"""How did training go? Loss against steps for every row whose model keeps its history."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan
from typing import Any

from harness.boards.tables import Board
from harness.plots.axes import spanning
from harness.plots.drawing import Key, Panel, Shape, Stroke, kind, label, to_svg

PANELS = 6
ROWS = 8  # of a board, best first
STEEP = 30  # largest over smallest loss from which its axis is logarithmic
HISTORY = "history"  # key of a model's identity: (step, training loss, validation loss) a line


def draw(boards: Sequence[Board]) -> str:
    """One panel a board with at least one history; "" when there is none."""
    chosen = [(board, lines) for board in boards if (lines := histories(board))][:PANELS]
    if not chosen:
        return ""
    panels = [_panel(board, lines) for board, lines in chosen]
    return to_svg(panels, "Training curves", ", ".join(board.task for board, _ in chosen))


def _panel(board: Board, lines: Sequence[tuple[str, list[tuple[float, float, float]]]]) -> Panel:
    shapes: list[Shape] = []
    keys = []
    validated = False
    for place, (name, points) in enumerate(lines):
        training = [(step, loss) for step, loss, _ in points if isfinite(loss)]
        validation = [(step, loss) for step, _, loss in points if isfinite(loss)]
        shapes += [Stroke(training, kind(place)), Stroke(validation, kind(place), dashed=True)]
        keys.append(Key(label(name, 48), kind(place)))
        validated = validated or bool(validation)
    losses = [loss for _, points in lines for _, *both in points for loss in both if isfinite(loss)]
    steep = min(losses) > 0 and max(losses) > STEEP * min(losses)
    return Panel(
        title=[label(board.task, 52)],
        x=spanning("step", [step for _, points in lines for step, *_ in points], margin=0.02),
        y=spanning("loss", losses, base=10 if steep else 0),
        shapes=shapes,
        legend=[*keys, Key("validation", "grey", dashed=True)] if validated else keys,
    )


def histories(board: Board) -> list[tuple[str, list[tuple[float, float, float]]]]:
    """The best rows with a history of two or more points."""
    found = []
    for row, record in zip(board.rows, board.records, strict=True):
        points = _points(record.result.identity.get(HISTORY))
        if len(points) >= 2 and any(isfinite(loss) for _, *both in points for loss in both):
            found.append((row.name, points))
    return found[:ROWS]


def _points(stored: Any) -> list[tuple[float, float, float]]:
    if not isinstance(stored, (list, tuple)):
        return []
    # a fit that ends where it last looked notes that step twice
    found = {
        float(line[0]): (float(line[0]), _loss(line[1]), _loss(line[2]))
        for line in stored
        if isinstance(line, (list, tuple)) and len(line) == 3 and isinstance(line[0], (int, float))
    }
    return list(found.values())


def _loss(stored: Any) -> float:
    return float(stored) if isinstance(stored, (int, float)) else nan
