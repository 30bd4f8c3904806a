"""How do lines, points and words become an SVG that is legible on light and dark pages? Panels laid out in pixels.

Text stays text, the same shapes give the same bytes, and colours follow the reader's colour scheme. Nothing is drawn
by hand: what stands at which pixel is worked out here, and a template writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from harness.plots.axes import Axis
from harness.terminal import plain

INK, PAPER, GRID, QUIET = "#1f2328", "#ffffff", "#d1d9e0", "#59636e"
# Okabe and Ito's colours, told apart by readers with any colour vision, on light and on dark paper, without black
COLOURS = (
    ("#0072b2", "#4ba3e3"), ("#d55e00", "#ff8a3d"), ("#009e73", "#2fc79a"), ("#c05a95", "#e69ac4"),
    ("#b87a00", "#f0b73a"), ("#2f93cf", "#7fd0ff"), ("#8c6d1f", "#c9a94f"), ("#7a5195", "#b98fd4"),
)  # fmt: skip
MARKS = ("disc", "square", "up", "diamond", "down", "plus", "cross", "star")
WIDTH, HEIGHT = 400, 210  # pixels: of a panel with its margins, of the area between its axes
LINE = 15  # pixels from one line of text to the next
GAP = 16  # between panels
BUSY = " †"  # behind a name: its time was taken while other work ran on the machine
BUSY_TOLD = "† other work ran on the machine: it may be faster than shown"
# widths of letters as shares of the font's size, on the wide side
NARROW, WIDE = frozenset("iljtfrI.,:;|'!()[] /"), frozenset("mwMW@%—")


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line through points; broken where one is not finite."""

    points: Sequence[tuple[float, float]]
    kind: str  # class of its colour: c0, c1, ..., ink, grey
    thick: float = 1.5
    dashed: bool = False
    round: bool = False


@dataclass(frozen=True, slots=True)
class Dots:
    """A marker at every point."""

    points: Sequence[tuple[float, float]]
    kind: str
    mark: str = "disc"
    filled: bool = True
    radius: float = 3.5


@dataclass(frozen=True, slots=True)
class Band:
    """The area between two lines: (x, low, high) each."""

    points: Sequence[tuple[float, float, float]]
    kind: str


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle between two corners, of a class's colour or of one that no scheme changes."""

    corner: tuple[float, float]
    opposite: tuple[float, float]
    kind: str = ""
    fill: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Words at a point, moved by pixels."""

    at: tuple[float, float]
    text: str
    anchor: Literal["start", "middle", "end"] = "start"
    shift: tuple[float, float] = (0.0, 0.0)
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend."""

    text: str
    kind: str
    mark: str = ""  # "": a line; "box": an area
    dashed: bool = False


Shape = Stroke | Dots | Band | Box | Note


@dataclass(frozen=True, slots=True)
class Panel:
    """Shapes between two axes, under a title, over a legend."""

    title: Sequence[str]
    x: Axis
    y: Axis
    shapes: Sequence[Shape]
    legend: Sequence[Key] = ()
    width: int = WIDTH
    height: int = HEIGHT
    bare: bool = False  # no left axis, and the other one above the shapes
    sides: int = 0  # pixels kept free to the left and right, for names


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the area between a panel's axes lies."""

    panel: Panel
    left: float
    top: float
    width: float
    height: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (
            self.left + self.panel.x.place(x) * self.width,
            self.top + (1 - self.panel.y.place(y)) * self.height,
        )


def to_svg(panels: Sequence[Panel], title: str, description: str, columns: int = 2) -> str:
    """The panels in rows, with a title and a description for readers who do not see them."""
    items: list[dict[str, Any]] = []
    below = float(GAP) / 2
    across = 0.0
    for row in _rows(panels, columns):
        left = float(GAP) / 2
        heads = max(len(panel.title) for panel in row)
        ends = []
        for panel in row:
            found, end = _panel(panel, left, below, heads)
            items += found
            ends.append(end)
            left += panel.width + GAP
        below, across = max(ends) + GAP, max(across, left - GAP / 2)
    return str(
        _template().render(
            items=items, width=round(across), height=round(below - GAP / 2), title=plain(title),
            description=plain(description), colours=COLOURS, ink=INK, paper=PAPER, quiet=QUIET, grid=GRID,
        )
    )  # fmt: skip


def _rows(panels: Sequence[Panel], columns: int) -> list[list[Panel]]:
    """Panels side by side, as many as have room in the columns."""
    rows: list[list[Panel]] = []
    for panel in panels:
        if rows and len(rows[-1]) < columns and sum(one.width for one in (*rows[-1], panel)) <= columns * WIDTH:
            rows[-1].append(panel)
        else:
            rows.append([panel])
    return rows


def kind(place: int) -> str:
    """The colour of the n-th thing."""
    return f"c{place % len(COLOURS)}"


def mark(place: int) -> str:
    """The marker of the n-th thing, so that colour is never the only sign."""
    return MARKS[place % len(MARKS)]


def label(text: str, width: int = 30) -> str:
    """A name short enough for a picture, with nothing in it that could steer."""
    return plain(text, width)


def text_width(text: str, size: float = 11) -> float:
    """Pixels that a line of text takes at the most, by the kinds of its letters."""
    shares = (0.34 if sign in NARROW else 0.92 if sign in WIDE else 0.7 if sign.isupper() else 0.6 for sign in text)
    return size * sum(shares)


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(Path(__file__).parent)
    return Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    ).get_template("figure.svg.j2")


def _panel(panel: Panel, left: float, top: float, heads: int) -> tuple[list[dict[str, Any]], float]:
    """What a panel is made of, and where it ends below; `heads` lines are kept for titles in its row."""
    y_ticks = [] if panel.bare else panel.y.ticks()
    room = max((text_width(text, 10) for _, text in y_ticks), default=0.0)
    inset = panel.sides if panel.bare else room + 10 + (LINE if panel.y.label else 0)
    head = heads * LINE + 8 + (2 * LINE + 6 if panel.bare else 0)
    frame = _Frame(panel, left + inset, top + head, panel.width - inset - max(8, panel.sides), panel.height)
    items = [
        _text(left, top + 11 + LINE * line, text, names="head" if not line else "quiet")
        for line, text in enumerate(panel.title)
    ]
    items += _axes(frame, left, y_ticks)
    for shape in panel.shapes:
        items += _shape(shape, frame)
    end = frame.top + frame.height + (4 if panel.bare else LINE + 4 + (LINE if panel.x.label else 0))
    keys, end = _legend(panel, left, end)
    return items + keys, end


def _axes(frame: _Frame, left: float, y_ticks: Sequence[tuple[float, str]]) -> list[dict[str, Any]]:
    panel, right, floor = frame.panel, frame.left + frame.width, frame.top + frame.height
    items = []
    edge = frame.top if panel.bare else floor
    for value, text in panel.x.ticks():
        x = frame.left + panel.x.place(value) * frame.width
        if panel.x.grid:
            items.append(_path("grid", [(x, frame.top), (x, floor)], 0.7))
        items.append(_path("axis", [(x, edge), (x, edge + (-4 if panel.bare else 4))]))
        items.append(_text(x, edge + (-8 if panel.bare else LINE), text, "middle", "quiet small"))
    for value, text in y_ticks:
        y = frame.top + (1 - panel.y.place(value)) * frame.height
        if panel.y.grid:
            items.append(_path("grid", [(frame.left, y), (right, y)], 0.7))
        items.append(_text(frame.left - 6, y + 3.5, text, "end", "quiet small"))
    middle = frame.left + frame.width / 2
    if panel.bare:
        items.append(_path("axis", [(frame.left, frame.top), (right, frame.top)]))
        return [*items, _text(middle, frame.top - LINE - 10, panel.x.label, "middle", "quiet")]
    items.append(_path("axis", [(frame.left, frame.top), (frame.left, floor), (right, floor)]))
    if panel.x.label:
        items.append(_text(middle, floor + 2 * LINE, panel.x.label, "middle", "quiet"))
    if panel.y.label:
        items.append(_text(left + 10, frame.top + frame.height / 2, panel.y.label, "middle", "quiet", turned=True))
    return items


def _legend(panel: Panel, left: float, top: float) -> tuple[list[dict[str, Any]], float]:
    """Entries in as many lines as they need, and where the last one ends."""
    items: list[dict[str, Any]] = []
    x, y = left, top + LINE + 2
    for key in panel.legend:
        wide = 22 + text_width(key.text, 10)
        if x > left and x + wide > left + panel.width:
            x, y = left, y + LINE
        if key.mark == "box":
            items.append(_box(x + 2, y - 9, 10, 10, f"{key.kind} full"))
        else:
            if not key.mark or key.dashed:
                items.append(_path(key.kind, [(x, y - 4), (x + 15, y - 4)], 1.5, dashed=key.dashed))
            if key.mark:
                items.append(_markers([(x + 7.5, y - 4)], key.kind, key.mark, True, 3.5))
        items.append(_text(x + 19, y, key.text, names="small"))
        x += wide + 12
    return items, y + 4 if panel.legend else top


def _shape(shape: Shape, frame: _Frame) -> list[dict[str, Any]]:
    if isinstance(shape, Stroke):
        runs: list[list[tuple[float, float]]] = [[]]
        for x, y in shape.points:
            if isfinite(x) and isfinite(y):
                runs[-1].append(frame.at(x, y))
            elif runs[-1]:
                runs.append([])
        return [_path(shape.kind, run, shape.thick, shape.dashed, shape.round) for run in runs if len(run) > 1]
    if isinstance(shape, Dots):
        found = [frame.at(x, y) for x, y in shape.points if isfinite(x) and isfinite(y)]
        return [_markers(found, shape.kind, shape.mark, shape.filled, shape.radius)] if found else []
    if isinstance(shape, Band):
        whole = [point for point in shape.points if all(map(isfinite, point))]
        around = [frame.at(x, high) for x, _, high in whole] + [frame.at(x, low) for x, low, _ in reversed(whole)]
        return [{"kind": "path", "names": f"band {shape.kind}", "d": f"{_trace(around)}Z", "thick": 1}] if whole else []
    if isinstance(shape, Box):
        (x0, y0), (x1, y1) = frame.at(*shape.corner), frame.at(*shape.opposite)
        names = f"{shape.kind} full" if shape.kind else ""
        return [_box(min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0), names, shape.fill)]
    x, y = frame.at(*shape.at)
    return [_text(x + shape.shift[0], y + shape.shift[1], shape.text, shape.anchor, shape.kind)]


def _markers(points: Iterable[tuple[float, float]], kind: str, mark: str, filled: bool, r: float) -> dict[str, Any]:
    d = "".join(_marker(x, y, mark, r) for x, y in points)
    face = "" if mark in ("plus", "cross") else " full" if filled else " hollow"
    return {"kind": "path", "names": kind + face, "d": d, "thick": 2 if not face else 1.3}


def _marker(x: float, y: float, mark: str, r: float) -> str:
    if mark == "disc":
        return f"M{_n(x - r)} {_n(y)}a{_n(r)} {_n(r)} 0 1 0 {_n(2 * r)} 0a{_n(r)} {_n(r)} 0 1 0 {_n(-2 * r)} 0Z"
    if mark in ("plus", "cross"):
        arms = ((r, 0.0), (0.0, r)) if mark == "plus" else ((0.75 * r, 0.75 * r), (0.75 * r, -0.75 * r))
        return "".join(_trace([(x - dx, y - dy), (x + dx, y + dy)]) for dx, dy in arms)
    corners = {
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "up": [(0.0, -1.1), (1.0, 0.8), (-1.0, 0.8)],
        "down": [(0.0, 1.1), (1.0, -0.8), (-1.0, -0.8)],
        "diamond": [(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)],
        "star": [(0.0, -1.3), (0.35, -0.35), (1.3, 0.0), (0.35, 0.35), (0.0, 1.3), (-0.35, 0.35), (-1.3, 0.0),
                 (-0.35, -0.35)],
    }[mark]  # fmt: skip
    return _trace([(x + dx * r, y + dy * r) for dx, dy in corners]) + "Z"


def _path(
    names: str, points: Sequence[tuple[float, float]], thick: float = 1.0, dashed: bool = False, round: bool = False
) -> dict[str, Any]:
    return {"kind": "path", "names": names, "d": _trace(points), "thick": _n(thick), "dashed": dashed, "round": round}


def _trace(points: Sequence[tuple[float, float]]) -> str:
    """Moves to the first point and draws to the others; points that fall on the same pixel are drawn once."""
    told = [f"{_n(x)} {_n(y)}" for x, y in points]
    return "M" + "L".join(told[:1] + [after for before, after in pairwise(told) if before != after])


def _text(
    x: float, y: float, text: str, anchor: str = "start", names: str = "", turned: bool = False
) -> dict[str, Any]:
    return {
        "kind": "text",
        "x": _n(x),
        "y": _n(y),
        "text": plain(text),
        "anchor": anchor,
        "names": names,
        "turned": turned,
    }


def _box(x: float, y: float, width: float, height: float, names: str = "", fill: str = "") -> dict[str, Any]:
    return {"kind": "box", "x": _n(x), "y": _n(y), "width": _n(width), "height": _n(height), "names": names,
            "fill": fill}  # fmt: skip


def _n(number: float) -> str:
    """A tenth of a pixel is as fine as eyes see."""
    # first to a millionth, so that two libraries whose last bits differ round a half the same way
    return f"{round(round(number, 6), 1) + 0:g}"
