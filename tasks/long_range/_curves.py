"""How are Pathfinder images drawn? Dashed curves, two marked ends, and whether one curve joins them.

The law follows the published settings (dashes of length 2, contour of 14 dashes, short distractor curves); the code is
our own, so single images differ from the official files.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

DASH = 2.0  # pixels
GAP = 2.0  # pixels between dashes
TURN = 0.45  # standard deviation of the turn between dashes, radians
MARK = 1.5  # radius of an end mark, pixels
CLEARANCE = 2.0  # pixels between different curves
FRAME = 2.0  # pixels that stay empty at the border

Point = tuple[float, float]  # row, column


def image(rng: np.random.Generator, size: int, dashes: int, joined: bool) -> NDArray[np.uint8]:
    """A picture [size, size]: two long curves and short distractors; the marks lie on one curve or on both."""
    while True:
        blocked = np.ones((size, size), dtype=bool)
        frame = int(FRAME)
        blocked[frame : size - frame, frame : size - frame] = False
        curves = [_curve(rng, dashes, blocked, 40), _curve(rng, dashes, blocked, 40)]
        if all(curves):
            break
    first, second = curves
    short = max(2, dashes // 3)
    # about as many distractor dashes as the published settings give a 32-pixel image, grown with the area
    for _ in range(max(1, (20 // short) * size * size // 1024)):
        curves.append(_curve(rng, short, blocked, 5))
    picture = np.zeros((size, size))
    for curve in curves:
        for start, end in zip(curve[0::2], curve[1::2], strict=True):
            _stroke(picture, start, end)
    ends = (first[0], first[-1]) if joined else (first[0], second[-1])
    for end in ends:
        _disc(picture, end)
    return np.asarray(picture * 255, dtype=np.uint8)


def _curve(rng: np.random.Generator, dashes: int, blocked: NDArray[np.bool_], attempts: int) -> list[Point]:
    """Both ends of every dash of a curve that keeps clear of all others; empty when no room was found."""
    size = len(blocked)
    for _ in range(attempts):
        row, column = rng.uniform(FRAME, size - FRAME, 2).tolist()
        angle = float(rng.uniform(0, 2 * math.pi))
        points: list[Point] = []
        # every dash may try eight turns, each freer than the one before, so that curves dodge what is in their way
        turns = (rng.normal(0, TURN, (dashes, 8)) * np.arange(1, 9) ** 0.7).tolist()
        for tries in turns:
            found = _dash((row, column), angle, tries, blocked, points)
            if found is None:
                break
            end, angle = found
            points += [(row, column), end]
            row, column = end[0] + GAP * math.sin(angle), end[1] + GAP * math.cos(angle)
        if len(points) == 2 * dashes:
            reach = int(CLEARANCE)
            for row, column in points:
                top, left = max(0, round(row) - reach), max(0, round(column) - reach)
                blocked[top : round(row) + reach + 1, left : round(column) + reach + 1] = True
            return points
    return []


def _dash(
    start: Point, angle: float, tries: list[float], blocked: NDArray[np.bool_], points: list[Point]
) -> tuple[Point, float] | None:
    """The first turn whose dash is free, as its end and its direction."""
    if not _free(start, blocked):
        return None
    for turn in tries:
        turned = angle + turn
        end = (start[0] + DASH * math.sin(turned), start[1] + DASH * math.cos(turned))
        # a curve does not touch its own earlier dashes either
        if _free(end, blocked) and all(math.dist(end, other) > CLEARANCE for other in points[:-3]):
            return end, turned
    return None


def _free(point: Point, blocked: NDArray[np.bool_]) -> bool:
    row, column = round(point[0]), round(point[1])
    return 0 <= row < len(blocked) and 0 <= column < len(blocked) and not blocked[row, column]


def _stroke(picture: NDArray[np.float64], start: Point, end: Point) -> None:
    # the published contrast: dashes are dimmer than marks
    for step in range(5):
        row = round(start[0] + step / 4 * (end[0] - start[0]))
        column = round(start[1] + step / 4 * (end[1] - start[1]))
        picture[row, column] = 0.75


def _disc(picture: NDArray[np.float64], centre: Point) -> None:
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    picture[np.hypot(rows - centre[0], columns - centre[1]) <= MARK] = 1.0
