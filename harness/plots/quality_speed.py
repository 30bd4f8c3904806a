"""What does quality cost in speed? Each row as a point, the Pareto front of each kind of machine marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.boards.rows import Row
from harness.boards.tables import Board
from harness.plots.drawing import INK, QUIET, colour, label, mark, panels, styled, to_svg

PANELS = 6  # boards in one picture, those with most points
WIDE = 20  # largest over smallest error from which its axis is logarithmic
LABELLED = 12  # points of a panel that carry their name


@styled
def draw(boards: Sequence[Board], title: str = "Quality against speed") -> str:
    """One panel a board; empty text when no board has two rows with quality and speed."""
    fitting = sorted(
        (board for board in boards if len(points(board)) >= 2),
        key=lambda board: (-len(points(board)), -max(row.n for row in board.rows), board.task, board.caption),
    )
    # the table with most points stands for its task
    chosen = list({board.task: board for board in reversed(fitting)}.values())[::-1][:PANELS]
    if not chosen:
        return ""
    figure, axes = panels(len(chosen))
    for board, axis in zip(chosen, axes, strict=True):
        _panel(board, axis)
    what = f"{title}: {', '.join(board.task for board in chosen)}; better quality is higher, faster is further right."
    return to_svg(figure, title, what)


def points(board: Board) -> list[tuple[Row, float]]:
    """Rows with a value and a speed, in examples a second of the time inside the model."""
    return [
        (row, row.examples_per_second)
        for row in board.rows
        if row.value is not None and row.examples_per_second and row.origin == "harness"
    ]


def front(found: Sequence[tuple[Row, float]]) -> list[tuple[Row, float]]:
    """The points that no other is at least as good and as fast as (and better in one), fastest first."""
    best: list[tuple[Row, float]] = []
    for row, speed in sorted(found, key=lambda point: (-point[1], -_quality(point[0]), point[0].digest)):
        if not best or _quality(row) > _quality(best[-1][0]):
            best.append((row, speed))
    return best


def _panel(board: Board, axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    found = points(board)
    devices = sorted({row.device for row, _ in found})
    for place, device in enumerate(devices):
        mine = [point for point in found if point[0].device == device]
        pareto = front(mine)
        axis.plot(
            [speed for _, speed in pareto],
            [row.value for row, _ in pareto],
            color=colour(place),
            linewidth=1.2,
            drawstyle="steps-pre",
            zorder=2,
        )
        known = [(row, speed) for row, speed in mine if row.low is not None and row.high is not None]
        axis.vlines(
            [speed for _, speed in known], [row.low for row, _ in known], [row.high for row, _ in known],
            color=colour(place), linewidth=0.8, alpha=0.6, zorder=1,
        )  # fmt: skip
        best = {row.digest for row, _ in pareto}
        for chosen, face in ((True, colour(place)), (False, "none")):
            shown = [(row, speed) for row, speed in mine if (row.digest in best) == chosen]
            axis.plot(
                [speed for _, speed in shown], [row.value for row, _ in shown], marker=mark(place), markersize=6,
                linestyle="none", zorder=3, markerfacecolor=face, markeredgecolor=colour(place),
            )  # fmt: skip
        axis.plot([], [], marker=mark(place), color=colour(place), label=label(device or "unknown machine", 36))
    _name_points(found, axis)
    first = found[0][0]
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(numticks=6))
    axis.xaxis.set_major_formatter(FuncFormatter(_plain))
    axis.xaxis.set_minor_formatter("")
    values = [row.value for row, _ in found if row.value is not None]
    if not first.higher_is_better and min(values) > 0 and max(values) > WIDE * min(values):
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")
    if not first.higher_is_better:
        axis.invert_yaxis()
    axis.margins(x=0.25, y=0.18)
    busy = " (busy machine)" if all(row.busy for row, _ in found) else ""
    machine = f", {label(devices[0], 32)}" if len(devices) == 1 and devices[0] else ""
    axis.set_xlabel(f"examples/s{machine}{busy}")
    axis.set_ylabel(f"{first.metric}{f' ({first.unit})' if first.unit else ''}")
    axis.set_title(label(board.task, 48))
    if len(devices) > 1:
        axis.legend(loc="best", fontsize=7, labelcolor=QUIET)


def _name_points(found: Sequence[tuple[Row, float]], axis: Any) -> None:
    for place, (row, speed) in enumerate(sorted(found[:LABELLED], key=lambda point: point[1])):
        name = " + ".join(part.rpartition("/")[2] for part in (row.model, row.decoder) if part)
        short = label(name.replace(" + greedy", ""), 26)
        # neighbours take turns above and below, so that they do not cover each other
        offset = (5, (5, -11)[place % 2])
        axis.annotate(short, (speed, row.value), xytext=offset, textcoords="offset points", fontsize=7.5, color=INK)


def _plain(value: float, place: int) -> str:
    del place
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _quality(row: Row) -> float:
    assert row.value is not None
    return row.value if row.higher_is_better else -row.value
