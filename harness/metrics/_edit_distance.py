"""How many insertions, deletions and substitutions turn one sequence into another? Levenshtein distance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Levenshtein distance in O(len(first) len(second) / word size), by bit-parallel columns of the table.

    Bit i of `plus` (`minus`) says that cell i + 1 of the current column is one above (below) cell i, so that one
    pass of whole-integer operations fills a column. Papers: Myers 1999, J. ACM 46; Hyyro 2003.

    Differs from the paper: Python's unbounded integers stand for the blocks of machine words.
    """
    if len(first) < len(second):
        first, second = second, first
    rows = len(second)
    if rows == 0:
        return len(first)
    places: dict[Hashable, int] = {}
    for row, item in enumerate(second):
        places[item] = places.get(item, 0) | 1 << row
    full, last = (1 << rows) - 1, 1 << (rows - 1)
    plus, minus, distance = full, 0, rows
    for item in first:
        match = places.get(item, 0)
        diagonal = (((match & plus) + plus) ^ plus) | match | minus
        rise, fall = minus | ~(diagonal | plus) & full, plus & diagonal
        distance += bool(rise & last) - bool(fall & last)
        # the top row of the table grows by one a column
        rise, fall = (rise << 1 | 1) & full, fall << 1 & full
        plus, minus = fall | ~(diagonal | rise) & full, rise & diagonal
    return distance
