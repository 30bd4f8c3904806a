"""How does time grow with length? Seconds against length on logarithmic axes, with the exponent of each line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.boards.tables import Board
from harness.plots.drawing import colour, label, mark, panels, styled, to_svg

PANELS = 6
AXES = ("T", "length")  # tags that name a length
FEWEST = 2  # lengths of a line


@styled
def draw(boards: Sequence[Board]) -> str:
    """One panel a task name, its lengths gathered over the boards of its parameters; "" when there is no line."""
    found = {name: lines for name, lines in costs(boards).items() if lines}
    chosen = dict(sorted(found.items())[:PANELS])
    if not chosen:
        return ""
    figure, axes = panels(len(chosen))
    for (name, lines), axis in zip(chosen.items(), axes, strict=True):
        for place, (contestant, points) in enumerate(sorted(lines.items())):
            length, seconds = np.array(points).T
            told = f"{label(contestant, 40)}: exponent {exponent(points):.2f}"
            axis.plot(length, seconds, color=colour(place), marker=mark(place), markersize=4, label=told)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")
        axis.set_xlabel("length")
        axis.set_ylabel("seconds")
        axis.set_title(label(name, 48))
        axis.legend(loc="best", fontsize=7)
    return to_svg(figure, "Cost against length", f"Seconds against length for {', '.join(chosen)}")


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
                if len(part.tags) == 1 and length.isdigit() and seconds > 0:
                    key = f"{row.name} ({row.device})" if several else row.name
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
