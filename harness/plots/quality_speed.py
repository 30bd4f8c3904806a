"""What does quality cost in speed? Each row as a point, the Pareto front of each kind of machine marked.

Where rows carry a state from token to token, a point grows with the logarithm of its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

from harness.boards.rows import Row, size
from harness.boards.tables import Board
from harness.plots.axes import Axis, spanning
from harness.plots.drawing import (
    BUSY,
    BUSY_TOLD,
    HEIGHT,
    WIDTH,
    Dots,
    Key,
    Note,
    Panel,
    Shape,
    Stroke,
    kind,
    label,
    mark,
    text_width,
    to_svg,
)

PANELS = 6  # boards in one picture, those with most points
WIDE_SPAN = 20  # largest over smallest error from which its axis is logarithmic
MARGIN = 60  # pixels of a panel beside its axes, about
LABELLED = 12  # points of a panel that carry their name, as far as there is room
CROWD = 15  # points from which a panel takes the whole width, and names as many as it can
TALL = 320  # pixels of such a panel's height
POINT = 3.5  # pixels: radius where states say nothing
SMALLEST, LARGEST = 2.5, 8.0  # radii in pixels: of the smallest and the largest state


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
    what = f"{title}: {', '.join(board.task for board in chosen)}; better quality is higher, faster is further right."
    return to_svg([_panel(board) for board in chosen], title, what)


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


def radii(found: Sequence[tuple[Row, float]]) -> dict[str, float]:
    """Pixels of each row's point, by digest, from its state's bytes; empty unless two states differ."""
    states = {row.digest: row.state_bytes for row, _ in found if row.state_bytes is not None}
    held = [state for state in states.values() if state]
    if len(set(states.values())) < 2:
        return {}
    low, high = log(min(held)), log(max(held))
    # no bytes at all have no logarithm
    shares = {digest: (log(state or min(held)) - low) / ((high - low) or 1) for digest, state in states.items()}
    return {digest: SMALLEST + (LARGEST - SMALLEST) * share for digest, share in shares.items()}


def _panel(board: Board) -> Panel:
    found = points(board)
    crowded = len(found) >= CROWD
    width, height = (2 * WIDTH, TALL) if crowded else (WIDTH, HEIGHT)
    devices = sorted({row.device for row, _ in found})
    x, y = _axes(found, devices)
    grown = radii(found)
    shapes: list[Shape] = []
    for place, device in enumerate(devices):
        shapes += _device([point for point in found if point[0].device == device], place, y, grown)
    keys = [
        Key(label(device or "unknown machine", 44), kind(place), mark(place)) for place, device in enumerate(devices)
    ]
    return Panel(
        title=[label(board.task, 110 if crowded else 52), *_sizes(found, grown), *_busy(found)],
        x=x,
        y=y,
        shapes=[*shapes, *_names(found if crowded else found[:LABELLED], found, grown, _Room(x, y, width, height))],
        legend=keys if len(devices) > 1 else (),
        width=width,
        height=height,
    )


def _sizes(found: Sequence[tuple[Row, float]], grown: Mapping[str, float]) -> list[str]:
    """What the points' sizes say, in words."""
    states = [row.state_bytes for row, _ in found if row.digest in grown and row.state_bytes is not None]
    if not states:
        return []
    rest = ", cross: none that can be carried" if len(states) < len(found) else ""
    return [f"size of a point: bytes of its state, {size(min(states))} to {size(max(states))}{rest}"]


def _busy(found: Sequence[tuple[Row, float]]) -> list[str]:
    """What the mark behind some names says; where all are alike, the axis says it."""
    return [BUSY_TOLD] if _mixed(found) else []


def _mixed(found: Sequence[tuple[Row, float]]) -> bool:
    return len({row.busy for row, _ in found}) > 1


def _axes(found: Sequence[tuple[Row, float]], devices: Sequence[str]) -> tuple[Axis, Axis]:
    first = found[0][0]
    values = [row.value for row, _ in found if row.value is not None]
    ends = [end for row, _ in found for end in (row.low, row.high) if end is not None]
    busy = " (busy machine)" if all(row.busy for row, _ in found) else ""
    machine = f", {label(devices[0], 36)}" if len(devices) == 1 and devices[0] else ""
    # room for names at both ends
    x = spanning(f"examples/s{machine}{busy}", [speed for _, speed in found], base=10, margin=0.22)
    steep = not first.higher_is_better and min(values) > 0 and max(values) > WIDE_SPAN * min(values)
    unit = f" ({first.unit})" if first.unit else ""
    y = spanning(
        f"{first.metric}{unit}",
        [*values, *ends],
        base=10 if steep else 0,
        margin=0.12,
        flipped=not first.higher_is_better,
    )
    return x, y


def _device(mine: Sequence[tuple[Row, float]], place: int, y: Axis, grown: Mapping[str, float]) -> list[Shape]:
    """Intervals, the front as steps, and the points: full on the front, hollow behind it."""
    pareto = front(mine)
    best = {row.digest for row, _ in pareto}
    shapes: list[Shape] = [
        # a logarithmic axis has no place for an interval that reaches 0
        Stroke([(speed, max(row.low, y.low)), (speed, min(row.high, y.high))], kind(place), 0.8)
        for row, speed in mine
        if row.low is not None and row.high is not None
    ]
    steps: list[tuple[float, float]] = []
    for row, speed in pareto:
        assert row.value is not None
        # what is as fast as this point is no better than the one before, down to here
        steps += [(speed, steps[-1][1])] if steps else []
        steps.append((speed, row.value))
    shapes.append(Stroke(steps, kind(place), 1.2))
    for chosen in (False, True):
        shown = [(row, (speed, row.value)) for row, speed in mine if (row.digest in best) == chosen]
        looks: dict[tuple[str, float], list[tuple[float, float]]] = {}
        for row, (speed, value) in shown:
            if value is not None:
                look = (
                    (mark(place), grown[row.digest])
                    if row.digest in grown
                    else ("cross" if grown else mark(place), POINT)
                )
                looks.setdefault(look, []).append((speed, value))
        shapes += [Dots(spots, kind(place), sign, chosen, radius) for (sign, radius), spots in looks.items()]
    return shapes


@dataclass(frozen=True, slots=True)
class _Room:
    """Where names may stand."""

    x: Axis
    y: Axis
    width: int  # pixels of the panel
    height: int  # pixels between its axes


def _names(
    named: Sequence[tuple[Row, float]], found: Sequence[tuple[Row, float]], grown: Mapping[str, float], room: _Room
) -> list[Shape]:
    """Names beside points, each where it covers neither a point nor another name, or nowhere."""
    inner = room.width - MARGIN
    spots = {
        row.digest: (room.x.place(speed) * inner, -room.y.place(row.value or 0.0) * room.height) for row, speed in found
    }
    wide = {row.digest: grown.get(row.digest, POINT) + 0.5 for row, _ in found}
    taken = [
        (left - wide[digest], top - wide[digest], left + wide[digest], top + wide[digest])
        for digest, (left, top) in spots.items()
    ]
    shapes: list[Shape] = []
    for row, speed in named:
        text = _short(row) + (BUSY if row.busy and _mixed(found) else "")
        long = text_width(text, 10)
        left, top = spots[row.digest]
        more = wide[row.digest] - 4
        # to the right and left, a little above or below; then right above and below
        aside, up, down = 6 + 0.7 * more, -5 - 0.7 * more, 12 + 0.7 * more
        places = [(aside, up), (aside, down), (-aside - long, up), (-aside - long, down)]
        for dx, dy in (*places, (-long / 2, -9 - more), (-long / 2, 17 + more)):
            box = (left + dx, top + dy - 9, left + dx + long, top + dy + 2)
            inside = box[0] >= 2 and box[2] <= inner and box[1] >= -room.height and box[3] <= 0
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                shapes.append(Note((speed, row.value or 0.0), text, shift=(dx, dy), kind="small"))
                break
    return shapes


def _short(row: Row) -> str:
    name = " + ".join(part.rpartition("/")[2] for part in (row.model, row.decoder) if part)
    return label(name.replace(" + greedy", ""), 30)


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _quality(row: Row) -> float:
    assert row.value is not None
    return row.value if row.higher_is_better else -row.value
