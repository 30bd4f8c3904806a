"""How are cells run? Each is refused, reused, resumed or computed; one that breaks ends alone.

They run one after the other, or decoders of one task and model in turns, example by example, where their speeds are to
be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import devices, results
from harness import signature as signatures
from harness.api.errors import DataError, HarnessError, UsageError
from harness.api.protocols import Setting
from harness.evaluation import Evaluation, OtherPath
from harness.journal import JOURNAL, RunFolder
from harness.pairing import Pairing, folder_of, introduce, sign
from harness.planning import Cell, refusal
from harness.results import RunResult
from harness.session import Progress, Session, Shelf


@dataclass(frozen=True, slots=True)
class Finished:
    """A result and the folder that holds it."""

    result: RunResult
    folder: Path
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one cell: `finished` or `error`."""

    cell: Cell
    finished: Finished | None = None
    error: HarnessError | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A cell that is still to be computed, with the folder that its run goes to."""

    pairing: Pairing
    setting: Setting
    signature: Mapping[str, Any]
    path: Path
    fresh: bool  # what lies in the folder does not count


def run_all(cells: Sequence[Cell], session: Session) -> Iterator[Outcome]:
    """Run cells one after the other; one that cannot be computed does not stop the rest.

    In a session that interleaves, cells that differ in their decoder alone take turns.
    """
    shelf = Shelf()
    for group in _groups(cells) if session.interleave else [[cell] for cell in cells]:
        if len(group) > 1:
            yield from run_in_turns(group, session, shelf)
            continue
        try:
            yield Outcome(group[0], finished=run(group[0], session, shelf))
        except HarnessError as problem:
            yield Outcome(group[0], error=problem)


def run_in_turns(cells: Sequence[Cell], session: Session, shelf: Shelf) -> list[Outcome]:
    """Run cells of one model side by side: an example of each, then the next example of each.

    Who begins moves on by one from example to example, so that a busy moment of the machine falls on all alike. Runs
    that took turns carry the same `company` in their timings; only their speeds are paired.
    """
    outcomes: dict[Cell, Outcome] = {}
    waiting: list[Ready] = []
    for cell in cells:
        try:
            found = look_up(_introduced(cell), session)
        except HarnessError as problem:
            outcomes[cell] = Outcome(cell, error=problem)
            continue
        if isinstance(found, Finished):
            outcomes[cell] = Outcome(cell, finished=found)
        else:
            waiting.append(found)
    if waiting and len(waiting) < len(cells):
        session.announce("some of these cells are finished or refused, so their speeds are not paired; see --fresh.")
    together = " ".join(sorted(signatures.digest(ready.signature) for ready in waiting))
    company = hashlib.sha256(together.encode()).hexdigest()[:16]
    with ExitStack() as stack:
        turns = [(ready, _turns(ready, session, shelf, company, stack)) for ready in waiting]
        number = 0
        while turns:
            first = number % len(turns)
            for ready, turn in [*turns[first:], *turns[:first]]:
                cell = ready.pairing.cell
                try:
                    result = next(turn)
                except HarnessError as problem:
                    outcomes[cell] = Outcome(cell, error=problem)
                else:
                    if result is None:
                        continue
                    outcomes[cell] = Outcome(cell, finished=Finished(result, ready.path))
                turns.remove((ready, turn))
            number += 1
    return [outcomes[cell] for cell in cells]


def run(cell: Cell, session: Session, shelf: Shelf | None = None) -> Finished:
    """Run one cell, or reuse its finished result.

    Errors: UsageError when the cell makes no sense, HarnessError when it cannot be computed; KeyboardInterrupt
    carries a line that says how to resume.
    """
    return run_pairing(_introduced(cell), session, shelf)


def run_pairing(pairing: Pairing, session: Session, shelf: Shelf | None = None) -> Finished:
    """`run` for objects that have been introduced already."""
    ready = look_up(pairing, session)
    if isinstance(ready, Finished):
        return ready
    with ExitStack() as stack:
        try:
            for result in _turns(ready, session, shelf or Shelf(), "", stack):
                if result is not None:
                    return Finished(result, ready.path)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Finished examples are safe in {ready.path}; the same command goes on from there."
            ) from None
    raise HarnessError(f"{pairing.title} ended without a result.")


def look_up(pairing: Pairing, session: Session) -> Finished | Ready:
    """The finished result of a pairing, where one is stored that will do, else what is needed to compute it."""
    cell = pairing.cell
    setting = Setting(
        sources=session.sources,
        device=devices.resolve(cell.device),
        dtype=cell.dtype,
        announce=session.announce,
        progress=lambda share, text: session.progress(Progress(cell, "fit", share=share, text=text)),
    )
    signature = sign(pairing, setting)
    path = folder_of(session.out, signature)
    unknown = signatures.unknown_parts(signature)
    if unknown:
        session.announce(f"{pairing.title}: {', '.join(unknown)} cannot be identified, so nothing stored is reused.")
    fresh = session.fresh or bool(unknown)
    stored = None if fresh else _finished(path, signature)
    if stored is not None and session.batch_requests == 1 != stored.timings.get("requests_a_batch"):
        # its scores would do, but it was timed in company and now latencies are asked for
        fresh = True
    elif stored is not None:
        session.progress(Progress(cell, "reused", done=stored.examples, total=stored.examples))
        return Finished(stored, path, reused=True)
    return Ready(pairing, setting, signature, path, fresh)


def _groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that differ in their decoder alone, together, in the order in which the first of each group comes."""
    groups: dict[Cell, list[Cell]] = {}
    for cell in dict.fromkeys(cells):
        groups.setdefault(replace(cell, decoder=None), []).append(cell)
    return list(groups.values())


def _introduced(cell: Cell) -> Pairing:
    reason = refusal(cell)
    if reason:
        raise UsageError(reason)
    return introduce(cell)


def _finished(path: Path, signature: Mapping[str, Any]) -> RunResult | None:
    """The result of an earlier run of exactly this signature, if it came to its end."""
    try:
        result = results.load(path)
    except DataError:
        # absent or damaged: the journal, if there is one, still holds what was computed
        return None
    return result if result.signature == signature else None


def _turns(ready: Ready, session: Session, shelf: Shelf, company: str, stack: ExitStack) -> Iterator[RunResult | None]:
    """Compute a run turn by turn: None after each, the result at the end. The folder stays open as long as `stack`."""
    folder = stack.enter_context(RunFolder(ready.path, session.announce))
    begun = (ready.path / JOURNAL).exists()
    if ready.pairing.carries and begun and not ready.fresh:
        session.announce(f"{ready.pairing.title}: its decoder learns from prompt to prompt, so it begins anew.")
    if ready.fresh or ready.pairing.carries:
        folder.clear()
    made = (ready.pairing, session, ready.setting, ready.signature, folder, shelf, company)
    evaluation = Evaluation(*made)
    try:
        yield from evaluation.turns()
    except OtherPath as turn:
        session.announce(f"{ready.pairing.title}: {turn}; they are not used.")
        folder.clear()
        evaluation = Evaluation(*made)
        yield from evaluation.turns()
    yield evaluation.conclude()
