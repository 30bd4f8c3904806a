"""How does quality fall as texts grow? A heat-map of length and depth a contestant, or a line where depth is no tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from harness.boards.tables import Board, widest
from harness.plots.axes import Axis, spanning
from harness.plots.drawing import Band, Box, Dots, Key, Note, Panel, Shape, Stroke, kind, label, mark, to_svg
from harness.results import RunResult, Slice

PANELS = 6
SHARE = 0.85  # of full marks: the longest length at which a contestant keeps this is its effective length

CELL = 22  # pixels of a heat-map's cell, from top to bottom
# ten colours of a scale whose lightness grows evenly for every reader's eyes (Nunez, Anderton and Renslow 2018)
CIVIDIS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838")


def draw(boards: Sequence[Board]) -> str:
    """Heat-maps of the first rows of every board whose examples carry both tags, else lines; "" when neither is."""
    gridded = [(board, name, grid(result)) for board in widest(boards) for name, result in _named(board)]
    found = [item for item in gridded if len({length for length, _ in item[2]}) >= 2][:PANELS]
    if not found:
        return _lines(boards)
    what = "; ".join(f"{name} on {board.task}" for board, name, _ in found)
    return to_svg([_heat_map(*item) for item in found], "Accuracy by length and depth", what)


def _heat_map(board: Board, name: str, cells: Mapping[tuple[float, float], float]) -> Panel:
    lengths = sorted({length for length, _ in cells})
    depths = sorted({depth for _, depth in cells})
    shapes: list[Shape] = []
    for (length, depth), value in sorted(cells.items()):
        column, row = lengths.index(length), depths.index(depth)
        if isfinite(value):
            ink = "ondark" if value < 0.5 else "onlight"
            shapes.append(Box((column - 0.49, row - 0.48), (column + 0.49, row + 0.48), fill=_shade(value)))
            shapes.append(Note((column, row), _two(value), "middle", (0, 3.5), f"small {ink}"))
    reach = effective_length(cells)
    told = f"effective length {reach:g}" if reach else f"below {SHARE:.0%} at every length"
    return Panel(
        title=[label(name, 52), f"{label(board.task, 34)}: {told}"],
        x=_named_axis("length", lengths, flipped=False),
        y=_named_axis("depth", depths, flipped=True),
        shapes=shapes,
        height=max(2, len(depths)) * CELL,
    )


def _named_axis(name: str, values: Sequence[float], flipped: bool) -> Axis:
    names = tuple((float(place), f"{value:g}") for place, value in enumerate(values))
    return Axis(name, -0.5, len(values) - 0.5, flipped=flipped, names=names, grid=False)


def _two(value: float) -> str:
    return f"{value:.2f}" if round(value, 2) % 1 else f"{value:.0f}"


def _shade(value: float) -> str:
    """The colour of a share from 0 to 1, between the two nearest of `CIVIDIS`."""
    at = min(1.0, max(0.0, value)) * (len(CIVIDIS) - 1)
    left = min(int(at), len(CIVIDIS) - 2)
    ends = zip(_parts(CIVIDIS[left]), _parts(CIVIDIS[left + 1]), strict=True)
    return "#" + "".join(f"{round(low + (high - low) * (at - left)):02x}" for low, high in ends)


def _parts(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def grid(result: RunResult) -> dict[tuple[float, float], float]:
    """(length, depth) -> headline value, from the breakdown by both tags."""
    return {
        (length, depth): part.metrics[result.headline].value
        for part in result.breakdown
        if (length := _tag(part, "length")) is not None and (depth := _tag(part, "depth")) is not None
    }


def effective_length(cells: Mapping[tuple[float, float], float]) -> float | None:
    """The longest length up to which the mean over depths never falls below `SHARE`; None when the first does."""
    reached = None
    for length in sorted({length for length, _ in cells}):
        values = [value for (at, _), value in cells.items() if at == length and np.isfinite(value)]
        if not values or np.mean(values) < SHARE:
            break
        reached = length
    return reached


def by_length(result: RunResult) -> list[tuple[float, float, float, float]]:
    """(length, value, low, high) from the breakdown by length alone."""
    found = []
    for part in result.breakdown:
        length = _tag(part, "length")
        if length is not None and len(part.tags) == 1:
            measured = part.metrics[result.headline]
            found.append((length, measured.value, measured.low, measured.high))
    return sorted(found)


def _lines(boards: Sequence[Board]) -> str:
    chosen = [board for board in boards if any(len(by_length(result)) >= 2 for _, result in _named(board))][:PANELS]
    if not chosen:
        return ""
    return to_svg([_curves(board) for board in chosen], "Quality by length", ", ".join(board.task for board in chosen))


def _curves(board: Board) -> Panel:
    shapes: list[Shape] = []
    keys, reached = [], []
    for place, (name, result) in enumerate(_named(board)):
        curve = [point for point in by_length(result) if point[0] > 0]
        if len(curve) >= 2:
            points = [(length, value) for length, value, _, _ in curve]
            shapes.append(Band([(length, low, high) for length, _, low, high in curve], kind(place)))
            shapes += [Stroke(points, kind(place)), Dots(points, kind(place), mark(place))]
            keys.append(Key(label(name, 48), kind(place), mark(place)))
            reached += curve
    return Panel(
        title=[label(board.task, 52)],
        x=spanning("length", [length for length, *_ in reached], base=2),
        y=spanning(board.rows[0].metric, [value for _, *values in reached for value in values]),
        shapes=shapes,
        legend=keys,
    )


def _named(board: Board) -> list[tuple[str, RunResult]]:
    return [(row.name, record.result) for row, record in zip(board.rows, board.records, strict=True)][:PANELS]


def _tag(part: Slice, key: str) -> float | None:
    try:
        return float(part.tags[key])
    except (KeyError, ValueError):
        # no such tag, or one that is a name
        return None
