"""Is the candidate slower than the reference? Interleaved rounds on one machine, as many as the verdict needs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import exp, expm1, inf, isfinite, log
from statistics import median

from harness.api.errors import HarnessError
from harness.gate.sequential import Decision, MedianSequence
from harness.gate.sides import Side, Worker
from harness.gate.verdicts import Verdict
from harness.timing import clock

# A reference side, B candidate side


@dataclass(frozen=True, slots=True)
class SpeedRules:
    """How much slower matters, and how long to look."""

    margin: float = 0.05  # a median time ratio within 1.05 is no regression
    error: float = 0.01  # chance of a wrong bound on either side, shared by all cells
    seconds: float = 120.0  # in all; open cells are then undecided
    rounds: int = 240  # process pairs at most; on a busy machine the time ends first
    blocks: int = 8  # ABBA blocks a round, fewer where they would take more than `round_seconds`
    round_seconds: float = 1.0
    sample_seconds: float = 0.005  # one timed sample lasts at least this long, about one slice of a busy processor
    seed: int = 0


@dataclass(slots=True)
class Cell:
    """One speed cell as it is being measured."""

    name: str
    sequence: MedianSequence
    times: int = 0  # repetitions of the work in one sample
    blocks: int = 1  # in a round
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"reference": [], "candidate": []})
    error: str = ""
    fresh: bool = False  # the reference side cannot do the work at all


def compare_speed(
    reference: Side,
    candidate: Side,
    cells: Sequence[str],
    rules: SpeedRules,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Verdict]:
    """One verdict a cell.

    A round starts a new process for each side, since two processes of the same code differ by their memory layout
    alone; in it, every open cell is measured in blocks A B B A or B A A B (drawn), so that both see the same drift, and
    the round is log(min b / min a), since what other programs do to a sample can only lengthen it. Rounds go on until
    the confidence sequence of the median round lies on one side of the margin, or within it, or the time is over.
    """
    rng = random.Random(rules.seed)
    states = [Cell(name, MedianSequence(rules.error / max(1, len(cells)))) for name in cells]
    start = clock()
    for number in range(rules.rounds):
        waiting = [state for state in states if _open(state, rules)]
        if not waiting or clock() - start > rules.seconds:
            break
        progress(f"speed: round {number + 1}, {len(waiting)} of {len(states)} cells open")
        _round(reference, candidate, waiting, rules, rng, start + rules.seconds)
    return [_verdict(state, rules) for state in states]


def calibration() -> float:
    """Seconds for a fixed piece of plain Python, best of five: what an absolute time on this machine is worth."""
    times = []
    for _ in range(5):
        start = clock()
        total = 0
        for number in range(200_000):
            total += number * number % 7
        times.append(clock() - start)
    return min(times)


def _open(state: Cell, rules: SpeedRules) -> bool:
    return not state.error and not state.fresh and state.sequence.decide(rules.margin) == "undecided"


def _round(
    reference: Side, candidate: Side, waiting: Sequence[Cell], rules: SpeedRules, rng: random.Random, end: float
) -> None:
    with ExitStack() as stack:
        # whichever starts first finds other memory free, so that the order is drawn too
        sides = [reference, candidate]
        rng.shuffle(sides)
        workers = {side.name: stack.enter_context(Worker(side)) for side in sides}
        for state in waiting:
            if clock() > end:
                return
            try:
                _measure(workers["reference"], workers["candidate"], state, rules, rng)
            except HarnessError as problem:
                state.error = str(problem)


def _measure(a: Worker, b: Worker, state: Cell, rules: SpeedRules, rng: random.Random) -> None:
    """One round of one cell, or the reason why there can be none."""
    # imports and loading are not timed, so that both sides may do them at once
    for worker in (a, b):
        worker.begin(state.name, 1)
    old, new = a.end(), b.end()
    if new:
        state.error = f"the candidate cannot do it: {new}"
    elif old:
        state.fresh, state.error = True, f"the reference cannot do it: {old}"
    else:
        state.sequence.add(_blocks(a, b, state, rules, rng))


def _blocks(a: Worker, b: Worker, state: Cell, rules: SpeedRules, rng: random.Random) -> float:
    if not state.times:
        state.times, seconds = _calibrate(a, state.name, rules.sample_seconds)
        state.blocks = max(1, min(rules.blocks, round(rules.round_seconds / (4 * seconds))))
    best = {a.side.name: inf, b.side.name: inf}
    for _ in range(state.blocks):
        for worker in (a, b, b, a) if rng.random() < 0.5 else (b, a, a, b):
            seconds = worker.seconds(state.name, state.times) / state.times
            state.seconds[worker.side.name].append(seconds)
            best[worker.side.name] = min(best[worker.side.name], seconds)
    return log(best[b.side.name] / best[a.side.name])


def _calibrate(worker: Worker, cell: str, wanted: float) -> tuple[int, float]:
    """How often the work must be repeated for a sample of `wanted` seconds, and the seconds that it then takes."""
    times = 1
    while True:
        seconds = worker.seconds(cell, times)
        if seconds >= wanted or times >= 1_000_000:
            return times, seconds
        times = max(times * 2, min(times * 10, int(times * wanted / max(seconds, 1e-6))))


def _verdict(state: Cell, rules: SpeedRules) -> Verdict:
    if state.fresh:
        return Verdict("speed", state.name, "seconds", "new", state.error)
    if state.error:
        return Verdict("speed", state.name, "seconds", "error", state.error)
    sequence = state.sequence
    kind: Decision = sequence.decide(rules.margin)
    size = len(sequence.values)
    if not size:
        return Verdict("speed", state.name, "seconds", "undecided", "no time was left for it", needed=10)
    needed = sequence.rounds_needed(rules.margin) if kind == "undecided" else 0
    ratio = f"{exp(sequence.median):.3f} times the reference's time"
    reasons = {
        "worse": f"{ratio}, surely more than {1 + rules.margin:g}",
        "better": f"{ratio}, surely less than {1 / (1 + rules.margin):.3f}",
        "same": f"{ratio}, surely within a margin of {rules.margin:.0%}",
        "undecided": f"{ratio}; about {needed} rounds would tell, {size} were run",
    }
    return Verdict(
        question="speed",
        cell=state.name,
        measure="seconds",
        kind=kind,
        reason=reasons[kind],
        reference=median(state.seconds["reference"]),
        candidate=median(state.seconds["candidate"]),
        change=expm1(sequence.median),
        low=_relative(sequence.low),
        high=_relative(sequence.high),
        count=size,
        needed=needed,
    )


def _relative(bound: float) -> float:
    """A log-ratio as a relative change; an open bound stays open."""
    return expm1(bound) if isfinite(bound) else bound
