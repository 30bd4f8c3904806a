"""Who ranks best over many tasks, and which mean ranks cannot be told apart? A critical-difference diagram."""

from __future__ import annotations

from itertools import combinations

from harness.boards.tables import Matrix
from harness.multiple import Ranking
from harness.plots.drawing import INK, colour, label, panels, styled, to_svg

FEWEST = 3  # contestants and tasks


@styled
def draw(matrix: Matrix) -> str:
    """Mean ranks on an axis, a bar over groups that Wilcoxon with Holm does not separate; "" for too few."""
    ranking = matrix.ranking
    if ranking is None or len(matrix.complete) < FEWEST or len(matrix.boards) < FEWEST:
        return ""
    order = sorted(range(len(matrix.complete)), key=lambda place: (ranking.mean_ranks[place], matrix.complete[place]))
    bars = groups(ranking, order)
    figure, (axis,) = panels(1, width=7.0, height=1.0 + 0.22 * len(order) + 0.16 * len(bars), columns=1)
    count = len(order)
    axis.set_xlim(0.5, count + 0.5)
    axis.set_ylim(-len(order) - 0.5, len(bars) * 0.6 + 0.8)
    axis.xaxis.tick_top()
    axis.set_xticks(range(1, count + 1))
    axis.yaxis.set_visible(False)
    axis.spines["left"].set_visible(False)
    axis.spines["bottom"].set_visible(False)
    axis.spines["top"].set_visible(True)
    axis.grid(visible=False)
    for place, row in enumerate(order):
        mean = ranking.mean_ranks[row]
        axis.plot([mean, mean], [0, -place - 0.6], color=colour(place), linewidth=1.0)
        side = "left" if mean < (count + 1) / 2 else "right"
        text = f"  {label(matrix.complete[row], 48)} ({mean:.2f})  "
        axis.text(mean, -place - 0.8, text, ha=side, va="center", fontsize=8)
    for level, (first, last) in enumerate(bars):
        ends = [ranking.mean_ranks[order[first]] - 0.05, ranking.mean_ranks[order[last]] + 0.05]
        axis.plot(ends, [0.4 + level * 0.6] * 2, color=INK, linewidth=3, solid_capstyle="round")
    what = f"mean rank over {len(matrix.boards)} tasks (Friedman p = {ranking.friedman_p:.3g})"
    axis.set_xlabel(f"{what}; a bar joins ranks that cannot be told apart")
    axis.xaxis.set_label_position("top")
    return to_svg(figure, "Critical-difference diagram", what)


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
