"""How does quality fall as texts grow? A heat-map of length and depth a contestant, or a line where depth is no tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.boards.tables import Board, widest
from harness.plots.drawing import INK, ON_DARK, ON_LIGHT, colour, label, mark, panels, styled, to_svg
from harness.results import RunResult, Slice

PANELS = 6
SHARE = 0.85  # of full marks: the longest length at which a contestant keeps this is its effective length

# D depths, L lengths


@styled
def draw(boards: Sequence[Board]) -> str:
    """Heat-maps of the first rows of every board whose examples carry both tags; "" when there is none."""
    gridded = [(board, name, grid(result)) for board in widest(boards) for name, result in _named(board)]
    found = [item for item in gridded if len({length for length, _ in item[2]}) >= 2][:PANELS]
    if not found:
        return _lines(boards)
    figure, axes = panels(len(found), width=4.2, height=2.7)
    for (board, name, cells), axis in zip(found, axes, strict=True):
        lengths = sorted({length for length, _ in cells})
        depths = sorted({depth for _, depth in cells})
        values_DL = np.array([[cells.get((length, depth), np.nan) for length in lengths] for depth in depths])
        axis.imshow(values_DL, aspect="auto", cmap="cividis", vmin=0.0, vmax=1.0, interpolation="nearest")
        for row, column in np.argwhere(np.isfinite(values_DL)).tolist():
            value = values_DL[row, column]
            ink = ON_DARK if value < 0.5 else ON_LIGHT
            axis.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=7.5, color=ink)
        axis.set_xticks(range(len(lengths)), [f"{length:g}" for length in lengths])
        axis.set_yticks(range(len(depths)), [f"{depth:g}" for depth in depths])
        axis.grid(visible=False)
        axis.set_xlabel("length")
        axis.set_ylabel("depth")
        reach = effective_length(cells)
        told = f"effective length {reach:g}" if reach else f"below {SHARE:.0%} at every length"
        axis.set_title(f"{label(name, 34)}\n{label(board.task, 34)}: {told}", color=INK)
    return to_svg(figure, "Accuracy by length and depth", "; ".join(f"{name} on {b.task}" for b, name, _ in found))


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
    figure, axes = panels(len(chosen))
    for board, axis in zip(chosen, axes, strict=True):
        _curves(board, axis)
    return to_svg(figure, "Quality by length", ", ".join(board.task for board in chosen))


def _curves(board: Board, axis: Any) -> None:
    for place, (name, result) in enumerate(_named(board)):
        curve = by_length(result)
        if len(curve) >= 2:
            length, value, low, high = np.array(curve).T
            axis.plot(length, value, color=colour(place), marker=mark(place), markersize=4, label=label(name))
            axis.fill_between(length, low, high, color=colour(place), alpha=0.15, linewidth=0)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("length")
    axis.set_ylabel(board.rows[0].metric)
    axis.set_title(label(board.task, 48))
    axis.legend(loc="best", fontsize=7)


def _named(board: Board) -> list[tuple[str, RunResult]]:
    return [(row.name, record.result) for row, record in zip(board.rows, board.records, strict=True)][:PANELS]


def _tag(part: Slice, key: str) -> float | None:
    try:
        return float(part.tags[key])
    except (KeyError, ValueError):
        # no such tag, or one that is a name
        return None
