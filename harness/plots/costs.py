"""How does time grow with length? Seconds against length on logarithmic axes, with the exponent of each line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.boards.tables import Board
from harness.plots.axes import spanning
from harness.plots.drawing import BUSY, BUSY_TOLD, Dots, Key, Panel, Shape, Stroke, kind, label, mark, to_svg

PANELS = 6
AXES = ("T", "length")  # tags that name a length
FEWEST = 2  # lengths of a line


def draw(boards: Sequence[Board]) -> str:
    """One panel a task name, its lengths gathered over the boards of its parameters; "" when there is no line."""
    found = {name: lines for name, lines in costs(boards).items() if lines}
    chosen = dict(sorted(found.items())[:PANELS])
    if not chosen:
        return ""
    what = f"Seconds against length for {', '.join(chosen)}"
    return to_svg([_panel(name, lines) for name, lines in chosen.items()], "Cost against length", what)


def _panel(name: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> Panel:
    shapes: list[Shape] = []
    keys = []
    for place, (contestant, points) in enumerate(sorted(lines.items())):
        shapes += [Stroke(points, kind(place)), Dots(points, kind(place), mark(place))]
        busy = BUSY if contestant.endswith(BUSY) else ""
        keys.append(
            Key(
                f"{label(contestant.removesuffix(BUSY), 44)}{busy}: exponent {exponent(points):.2f}",
                kind(place),
                mark(place),
            )
        )
    everything = [point for points in lines.values() for point in points]
    return Panel(
        title=[label(name, 52), *([BUSY_TOLD] if any(line.endswith(BUSY) for line in lines) else [])],
        x=spanning("length", [length for length, _ in everything], base=2),
        y=spanning("seconds", [seconds for _, seconds in everything], base=10),
        shapes=shapes,
        legend=keys,
    )


def costs(boards: Sequence[Board]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Task name -> contestant and machine -> (length, seconds); for tasks whose headline is in seconds."""
    several = len({row.device for board in boards for row in board.rows}) > 1
    found: dict[str, dict[str, dict[float, float]]] = {}
    for board in boards:
        for row, record in zip(board.rows, board.records, strict=True):
            if row.unit != "s":
                continue
            for part in record.result.breakdown:
                length = next((part.tags[axis] for axis in AXES if axis in part.tags), "")
                seconds = part.metrics[record.result.headline].value
                if len(part.tags) == 1 and length.isdecimal() and seconds > 0:
                    key = f"{row.name} ({row.device})" if several else row.name
                    key += BUSY if row.busy else ""
                    lines = found.setdefault(board.task.partition(":")[0], {})
                    lines.setdefault(key, {})[float(length)] = seconds
    return {
        task: {name: sorted(points.items()) for name, points in lines.items() if len(points) >= FEWEST}
        for task, lines in found.items()
    }


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope of log seconds over log length by least squares: 1 is linear, 2 quadratic."""
    length, seconds = np.log(np.array(points)).T
    return float(np.polyfit(length, seconds, 1)[0])
