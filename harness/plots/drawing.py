"""How does a figure become SVG text with stable bytes that is legible on light and dark pages? Through one saver."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from html import escape
from importlib import metadata
from math import ceil
from typing import Any, ParamSpec

from harness.terminal import plain

P = ParamSpec("P")
INK, PAPER, GRID, QUIET = "#1f2328", "#ffffff", "#d1d9e0", "#59636e"
ON_DARK, ON_LIGHT = "#fefefe", "#010101"  # text on coloured cells, the same on every page
# Okabe and Ito's colours, told apart by readers with any colour vision, with black left out
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f", "#7a5195")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
DARK = f"""<style>
@media (prefers-color-scheme: dark) {{
 text:not([style*="{ON_DARK}"]):not([style*="{ON_LIGHT}"]) {{ fill: #e6edf3 !important; }}
 [style*="{PAPER}"] {{ fill: #0d1117 !important; }}
 [style*="stroke: {INK}"] {{ stroke: #e6edf3 !important; }}
 [style*="fill: {INK}"] {{ fill: #e6edf3 !important; }}
 [style*="stroke: {GRID}"] {{ stroke: #3d444d !important; }}
 [style*="stroke: {PAPER}"] {{ stroke: #0d1117 !important; }}
}}
</style>"""
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "seqharness",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.facecolor": PAPER,
    "legend.frameon": False,
}


def styled(draw: Callable[P, str]) -> Callable[P, str]:
    """Draw under the house style, whatever the user's own settings of matplotlib are."""

    @wraps(draw)
    def under_style(*arguments: P.args, **named: P.kwargs) -> str:
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            return draw(*arguments, **named)

    return under_style


def panels(count: int, width: float = 4.0, height: float = 3.2, columns: int = 2) -> tuple[Any, list[Any]]:
    """A figure of `count` panels, in inches a panel, and its axes in reading order."""
    from matplotlib.figure import Figure

    columns = min(columns, count)
    lines = ceil(count / columns)
    figure = Figure(figsize=(width * columns, height * lines), layout="constrained")
    return figure, [figure.add_subplot(lines, columns, place + 1) for place in range(count)]


def to_svg(figure: Any, title: str, description: str) -> str:
    """The figure's SVG with a title and a description for readers who do not see it."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    body = text[text.index("<svg") :]
    head, _, rest = body.partition(">")
    # fractions of a thousandth of a point are noise that only makes files larger
    rest = re.sub(r"(\d\.\d{3})\d+", r"\1", rest)
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    named = f"<title>{escape(plain(title))}</title><desc>{escape(plain(description))}</desc>"
    made_by = f"<!-- written by `harness publish` with matplotlib {metadata.version('matplotlib')} -->"
    svg = f'{made_by}\n{head} role="img">{named}{DARK}{rest}'
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def colour(place: int) -> str:
    """The colour of the n-th thing."""
    return COLOURS[place % len(COLOURS)]


def mark(place: int) -> str:
    """The marker of the n-th thing, so that colour is never the only sign."""
    return MARKS[place % len(MARKS)]


def label(text: str, width: int = 30) -> str:
    """A name short enough for a picture, with nothing in it that could steer or be read as mathematics."""
    return plain(text, width)
