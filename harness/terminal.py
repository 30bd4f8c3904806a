"""How text reaches a terminal or a table: model output is data, so nothing in it may steer, split or hide anything."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

# control, format (bidirectional marks, zero width), surrogate, private, unassigned, line and paragraph separators
UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
JOINER = "\u200d"  # holds an emoji family together and steers nothing


def plain(text: str, width: int = 0) -> str:
    """The text on one line with every character that could steer a terminal written as its escape.

    `width` > 0 cuts the result to that many characters, ending in an ellipsis.
    """
    # nearly every text is printable ASCII, in which nothing can steer
    safe = text if text.isascii() and text.isprintable() else "".join(map(_safe, text))
    return safe if not width or len(safe) <= width else safe[: width - 1] + "…"


def table(rows: Sequence[Mapping[str, Any]], headers: Sequence[str], right: frozenset[str] = frozenset()) -> str:
    """Rows as a table for a terminal; cells are made plain, and a bar in a cell cannot end it."""
    from tabulate import tabulate

    cells = [[plain(str(row.get(header, ""))).replace("|", "¦") for header in headers] for row in rows]
    sides = ["right" if header in right else "left" for header in headers]
    return tabulate(cells, headers=list(headers), tablefmt="simple", colalign=sides, disable_numparse=True)


def columns(pairs: Sequence[tuple[str, str]], indent: str = "  ") -> str:
    """Two aligned columns: a name and what is said of it."""
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{indent}{plain(name):<{width}}  {plain(text)}".rstrip() for name, text in pairs)


def say(line: str) -> None:
    """One line to the user, apart from the results on stdout."""
    print(plain(line), file=sys.stderr, flush=True)


def _safe(letter: str) -> str:
    return letter if letter == JOINER or unicodedata.category(letter) not in UNSAFE else _escape(letter)


def _escape(letter: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(letter) or letter.encode("unicode_escape").decode("ascii")
