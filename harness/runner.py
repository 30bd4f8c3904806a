"""How are cells run, one after the other? Each is refused, reused, resumed or computed; one that breaks ends alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import devices, results
from harness import signature as signatures
from harness.api.errors import DataError, HarnessError, UsageError
from harness.api.protocols import Setting
from harness.evaluation import Evaluation, OtherPath
from harness.journal import RunFolder
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


def run_all(cells: Sequence[Cell], session: Session) -> Iterator[Outcome]:
    """Run cells one after the other; one that cannot be computed does not stop the rest."""
    shelf = Shelf()
    for cell in cells:
        try:
            yield Outcome(cell, finished=run(cell, session, shelf))
        except HarnessError as problem:
            yield Outcome(cell, error=problem)


def run(cell: Cell, session: Session, shelf: Shelf | None = None) -> Finished:
    """Run one cell, or reuse its finished result.

    Errors: UsageError when the cell makes no sense, HarnessError when it cannot be computed; KeyboardInterrupt
    carries a line that says how to resume.
    """
    reason = refusal(cell)
    if reason:
        raise UsageError(reason)
    return run_pairing(introduce(cell), session, shelf)


def run_pairing(pairing: Pairing, session: Session, shelf: Shelf | None = None) -> Finished:
    """`run` for objects that have been introduced already."""
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
    with RunFolder(path, session.announce) as folder:
        if fresh:
            folder.clear()
        try:
            return Finished(_compute(pairing, session, setting, signature, folder, shelf or Shelf()), path)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Finished examples are safe in {path}; the same command goes on from there."
            ) from None


def _finished(path: Path, signature: Mapping[str, Any]) -> RunResult | None:
    """The result of an earlier run of exactly this signature, if it came to its end."""
    try:
        result = results.load(path)
    except DataError:
        # absent or damaged: the journal, if there is one, still holds what was computed
        return None
    return result if result.signature == signature else None


def _compute(
    pairing: Pairing,
    session: Session,
    setting: Setting,
    signature: Mapping[str, Any],
    folder: RunFolder,
    shelf: Shelf,
) -> RunResult:
    try:
        return Evaluation(pairing, session, setting, signature, folder, shelf).result()
    except OtherPath as turn:
        session.announce(f"{pairing.title}: {turn}; they are not used.")
        folder.clear()
        return Evaluation(pairing, session, setting, signature, folder, shelf).result()
