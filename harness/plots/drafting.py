"""Does verifying more draft tokens a call pay? Speed-up over greedy against verified nodes, one point a method."""

from __future__ import annotations

from collections.abc import Sequence

from harness.boards.decoders import NODES, Contest, metric, speed_up
from harness.boards.rows import GREEDY
from harness.plots.axes import spanning
from harness.plots.drawing import Dots, Key, Panel, Shape, Stroke, kind, label, mark, to_svg

PANELS = 6


def draw(model: str, contests: Sequence[Contest]) -> str:
    """One panel a board with a speed-up that is known; empty text when there is none."""
    panels = [panel for contest in contests if (panel := _panel(contest)) is not None][:PANELS]
    if not panels:
        return ""
    what = f"{model}: greedy decoding's time after the prefill over each method's, by draft tokens verified a call."
    return to_svg(panels, "Speed-up against verified nodes", what)


def _panel(contest: Contest) -> Panel | None:
    found = [
        (row.decoder.removeprefix("decoders/"), metric(record, NODES), gain)
        for row, record in contest.entries
        if row.decoder != GREEDY and (gain := speed_up(record, contest.greedy)).known
    ]
    found = [point for point in found if point[1] == point[1]]
    if not found:
        return None
    reach = [end for _, _, gain in found for end in (gain.low, gain.high)]
    x = spanning("verified nodes a call", [0.0, *(nodes for _, nodes, _ in found)])
    shapes: list[Shape] = [Stroke([(x.low, 1.0), (x.high, 1.0)], "grey", 1.0, dashed=True)]
    for place, (_, nodes, gain) in enumerate(found):
        shapes.append(Stroke([(nodes, gain.low), (nodes, gain.high)], kind(place), 0.8))
        shapes.append(Dots([(nodes, gain.value)], kind(place), mark(place)))
    return Panel(
        title=[label(contest.board.task, 52)],
        x=x,
        y=spanning("speed-up over greedy", [1.0, *reach]),
        shapes=shapes,
        legend=[Key(label(name, 44), kind(place), mark(place)) for place, (name, _, _) in enumerate(found)],
    )
