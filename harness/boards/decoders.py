"""How do decoding methods compare on one model? A page a model: quality, tokens a call, speed beside greedy, memory.

Speeds are paired: only runs that took turns example by example (`harness run --interleave`) are compared, on the time
after the prefill, as a ratio of totals with an interval over examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, nan

import numpy as np
from numpy.typing import NDArray

from harness import timing
from harness.api.errors import UsageError
from harness.api.metrics import Array, TotalsMetric
from harness.api.types import Example, Response
from harness.boards.markdown import GENERATED, fenced, inert
from harness.boards.records import Record
from harness.boards.rows import GREEDY, Row, command, shown, size, three
from harness.boards.tables import Board
from harness.stats import bounds

ACCEPTED, NODES, DRAFTS, BOUND = "mean_accepted_tokens", "verified_nodes", "draft_calls", "mbsu"
TAG = "category"  # the tag by which tasks of this kind break down
LEGEND = (
    "*tokens/call* is the mean number of tokens that one call of the target yields after the prefill, *nodes/call* "
    "how many draft tokens it verifies for them and *drafts/call* how often a draft model runs; *MBSU* is the speed-up "
    "that reading the weights alone would allow. *speed-up* is greedy decoding's time over the method's, after the "
    "prefill and, apart, with it, both in total over the same examples of runs that took turns, with a 95% interval "
    "over examples (score interval with the jackknife's spread and Student's t); below 1 the method is slower. It is "
    "left out where runs did not take turns. *prefill s* is the mean an example. † marks "
    "speeds taken while other work ran on the machine. *as greedy* is how many answers equal greedy decoding's."
)
HEADERS = (
    "decoder", "quality", "tokens/call", "MBSU", "nodes/call", "drafts/call", "tokens/s", "prefill s", "speed-up",
    "with prefill", "memory", "as greedy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ratio:
    """A paired speed-up with its 95% interval; NaN where runs cannot be paired."""

    value: float = nan
    low: float = nan
    high: float = nan

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return self.value == self.value

    def __str__(self) -> str:
        """`1.25 [1.20, 1.31]`, or nothing."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]" if self.known else ""


@dataclass(frozen=True, slots=True)
class Contest:
    """The decoders of one model on one board, and the greedy run among them, if there is one."""

    board: Board
    entries: tuple[tuple[Row, Record], ...]
    greedy: Record | None


class SpeedUp(TotalsMetric):
    """Seconds of one over seconds of the other, in total; nothing is measured."""

    scale = (0.0, inf)

    @property
    def name(self) -> str:
        """Unused."""
        return "speed_up"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Never asked: the seconds are there."""
        raise UsageError("stored seconds are not measured again.")

    def from_totals(self, totals: Array, count: Array) -> Array:
        """First over second."""
        return np.asarray(totals[..., 0] / totals[..., 1])


def contests(boards: Sequence[Board]) -> dict[str, list[Contest]]:
    """Model -> its boards with two decoders or more."""
    found: dict[str, list[Contest]] = {}
    for board in boards:
        groups: dict[str, list[tuple[Row, Record]]] = {}
        for row, record in zip(board.rows, board.records, strict=True):
            if row.decoder and not record.imported:
                groups.setdefault(row.model, []).append((row, record))
        for model, entries in groups.items():
            if len(entries) > 1:
                greedy = next((record for row, record in entries if row.decoder == GREEDY), None)
                found.setdefault(model, []).append(Contest(board, tuple(entries), greedy))
    return found


def page(model: str, found: Sequence[Contest], picture: str) -> str:
    """One model's page; `picture` is the path of its plot from there, or empty."""
    parts = [GENERATED, f"# Decoders of {inert(model)}", LEGEND]
    if picture:
        parts.append(f"![Speed-up against verified nodes]({picture})")
    for contest in found:
        board = contest.board
        parts += [f"## {inert(board.task)}", f"{inert(board.caption[:1].upper() + board.caption[1:])}."]
        parts.append(_table([_line(contest, row, record) for row, record in contest.entries], HEADERS))
        by_tag = _by_category(contest)
        if by_tag:
            parts += ["Tokens a call, and speed-up after the prefill, by category:", by_tag]
        parts.append(_command(contest))
    return "\n\n".join(part for part in parts if part) + "\n"


def speed_up(record: Record, greedy: Record | None, *, prefill: bool = False, category: str = "") -> Ratio:
    """Greedy's seconds over the record's, in total over their common examples."""
    ours, theirs = _seconds(record, prefill), _seconds(greedy, prefill) if greedy else None
    if greedy is None or ours is None or theirs is None or not _took_turns(record, greedy) or len(ours) != len(theirs):
        return Ratio()
    if category:
        held = np.array([value == category for value in categories(record)])
        ours, theirs = ours[held], theirs[held]
    if not len(ours) or not ours.sum() > 0:
        return Ratio()
    ends = bounds(SpeedUp(), np.stack([theirs, ours], axis=1))
    return Ratio(float(theirs.sum() / ours.sum()), ends.low, ends.high)


def categories(record: Record) -> tuple[str, ...]:
    """Each example's category, where the task has them."""
    samples = record.result.samples
    return samples.tags.get(TAG, ()) if samples else ()


def metric(record: Record, name: str) -> float:
    """A metric's value; of a task that does not have it, what its run's own counts give; else NaN."""
    found = record.result.metrics.get(name)
    if found:
        return found.value
    spent = timing.from_columns(record.result.timings)
    steps = sum(spent.get("steps", ()))
    counted = {ACCEPTED: "emitted", NODES: "verified", DRAFTS: "draft_calls"}.get(name)
    return sum(spent.get(counted, ())) / steps if counted and steps else nan


def _took_turns(record: Record, greedy: Record) -> bool:
    company = record.result.timings.get("company")
    ours, theirs = record.result.samples, greedy.result.samples
    same = ours is not None and theirs is not None and ours.ids_digest == theirs.ids_digest
    return bool(company) and company == greedy.result.timings.get("company") and same


def _seconds(record: Record, prefill: bool) -> NDArray[np.float64] | None:
    """Seconds of each example inside the model, less its prefill unless that is wanted."""
    spent = timing.from_columns(record.result.timings)
    if "seconds" not in spent:
        return None
    whole = np.array(spent["seconds"])
    return whole if prefill else whole - np.array(spent.get("prefill", [0.0] * len(whole)))


def _line(contest: Contest, row: Row, record: Record) -> dict[str, str]:
    accepted = record.result.metrics.get(ACCEPTED)
    after, spent = _seconds(record, False), timing.from_columns(record.result.timings)
    tokens = record.result.timings.get("tokens") or 0
    rate = float(tokens) / float(after.sum()) if after is not None and after.sum() > 0 and tokens else None
    beside_greedy = row.decoder != GREEDY
    return {
        "decoder": row.decoder.removeprefix("decoders/"),
        "quality": "" if row.metric == ACCEPTED else f"{shown(row)['value']} {row.metric}",
        "tokens/call": f"{accepted.value:.3f} [{accepted.low:.3f}, {accepted.high:.3f}]"
        if accepted
        else _told(metric(record, ACCEPTED)),
        "MBSU": _told(metric(record, BOUND)),
        "nodes/call": _told(metric(record, NODES)),
        "drafts/call": _told(metric(record, DRAFTS)),
        "tokens/s": three(rate) + ("†" if row.busy and rate else ""),
        "prefill s": three(float(np.mean(spent["prefill"]))) if "prefill" in spent else "",
        "speed-up": str(speed_up(record, contest.greedy)) if beside_greedy else "1",
        "with prefill": str(speed_up(record, contest.greedy, prefill=True)) if beside_greedy else "1",
        "memory": size(row.memory_bytes),
        "as greedy": row.exact,
    }


def _by_category(contest: Contest) -> str:
    names = sorted({name for _, record in contest.entries for name in categories(record) if name})
    lines = []
    for row, record in contest.entries:
        parts = {part.tags.get(TAG): part for part in record.result.breakdown if set(part.tags) == {TAG}}
        line = {"decoder": row.decoder.removeprefix("decoders/")}
        for name in names:
            accepted = parts[name].metrics.get(ACCEPTED) if name in parts else None
            gain = speed_up(record, contest.greedy, category=name) if row.decoder != GREEDY else Ratio()
            line[name] = ", ".join(filter(None, [f"{accepted.value:.2f}" if accepted else "", str(gain)]))
        lines.append(line)
    return _table(lines, ("decoder", *names)) if len(names) > 1 else ""


def _command(contest: Contest) -> str:
    """The one command that runs these decoders in turns."""
    first = contest.entries[0][1].result
    names = ",".join(row.decoder for row, _ in contest.entries)
    told = command(replace(first, signature={**first.signature, "decoder": names}))
    return fenced([f"{told} --interleave"])


def _table(lines: Sequence[Mapping[str, str]], headers: Sequence[str]) -> str:
    from tabulate import tabulate

    kept = [header for header in headers if any(line[header] for line in lines)]
    body = [[inert(line[header]) for header in kept] for line in lines]
    return str(tabulate(body, headers=[inert(header) for header in kept], tablefmt="github", disable_numparse=True))


def _told(number: float) -> str:
    return f"{number:.3g}" if number == number else ""
