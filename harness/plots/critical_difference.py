"""Who ranks best over many tasks, and which mean ranks cannot be told apart? A critical-difference diagram."""

from __future__ import annotations

from itertools import combinations

from harness.boards.tables import Matrix
from harness.multiple import Ranking
from harness.plots.axes import Axis
from harness.plots.drawing import LINE, Note, Panel, Shape, Stroke, kind, label, to_svg

FEWEST = 3  # contestants and tasks
SPAN, SIDE = 300, 240  # pixels of the axis, and of the names at either side of it
BAR = 8  # pixels from one bar to the next


def draw(matrix: Matrix, over: str = "") -> str:
    """Mean ranks on an axis, a bar over groups that Wilcoxon with Holm does not separate; "" for too few.

    `over` names what the tasks have in common.
    """
    ranking = matrix.ranking
    if ranking is None or len(matrix.complete) < FEWEST or len(matrix.boards) < FEWEST:
        return ""
    count = len(matrix.complete)
    order = sorted(range(count), key=lambda place: (ranking.mean_ranks[place], matrix.complete[place]))
    bars = groups(ranking, order)
    first = (len(bars) + 1) * BAR + LINE  # pixels from the axis to the first name
    depth = first + (count + 1) // 2 * LINE
    what = f"mean rank over {len(matrix.boards)} tasks, 1 is best (Friedman p = {ranking.friedman_p:.3g})"
    shapes: list[Shape] = []
    for place, row in enumerate(order):
        left = place < (count + 1) // 2
        # the outermost name of either side stands highest, so that no line crosses another
        y = first + LINE * (place if left else count - 1 - place)
        mean, edge = ranking.mean_ranks[row], 1.0 if left else float(count)
        shapes.append(Stroke([(mean, 0), (mean, y), (edge, y)], kind(place), 1.2))
        text = f"{label(matrix.complete[row], 30)} ({mean:.2f})"
        shapes.append(Note((edge, y), text, "end" if left else "start", (-6 if left else 6, 4)))
    for level, (start, end) in enumerate(bars):
        ends = [ranking.mean_ranks[order[start]] - 0.04, ranking.mean_ranks[order[end]] + 0.04]
        shapes.append(Stroke([(at, (level + 1) * BAR) for at in ends], "ink", 4, round=True))
    panel = Panel(
        title=[label(over, 90)] if over else [],
        x=Axis(f"{what}; a bar joins ranks that cannot be told apart", 1, count, names=_ticks(count), grid=False),
        y=Axis("", 0, depth, flipped=True),  # in pixels
        shapes=shapes,
        width=SPAN + 2 * SIDE,
        height=depth,
        bare=True,
        sides=SIDE,
    )
    return to_svg([panel], "Critical-difference diagram", what)


def groups(ranking: Ranking, order: list[int]) -> list[tuple[int, int]]:
    """The widest runs of neighbours in `order` without a pair that differs, as first and last place."""
    different = {frozenset(pair) for pair in ranking.different}
    runs = [
        (first, last)
        for first, last in combinations(range(len(order)), 2)
        if not any(frozenset(pair) in different for pair in combinations(order[first : last + 1], 2))
    ]
    return [
        run for run in runs if not any(other != run and other[0] <= run[0] and run[1] <= other[1] for other in runs)
    ]


def _ticks(count: int) -> tuple[tuple[float, str], ...]:
    return tuple((float(rank), str(rank)) for rank in range(1, count + 1))
