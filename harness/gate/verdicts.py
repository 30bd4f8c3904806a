"""What did the gate decide, cell by cell, and which exit code follows? Better, same, worse, undecided, error or new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["better", "same", "worse", "undecided", "error", "new"]
KINDS: tuple[Kind, ...] = ("worse", "error", "undecided", "new", "better", "same")

EXIT_SAME, EXIT_WORSE, EXIT_ERROR, EXIT_UNDECIDED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """One cell's comparison. Numbers are NaN where there is nothing to compare."""

    question: Literal["accuracy", "speed"]
    cell: str  # "task x model + decoder" or a speed cell's name
    measure: str  # the metric's name, or "seconds"
    kind: Kind
    reason: str  # one line: what was seen, and what to do
    reference: float = float("nan")
    candidate: float = float("nan")
    change: float = float("nan")  # candidate - reference in the metric's unit; relative for speed
    low: float = float("nan")  # 95% interval of the change for accuracy, 98% confidence sequence for speed
    high: float = float("nan")
    p: float = float("nan")  # Holm-adjusted, accuracy only
    count: int = 0  # paired examples, or rounds
    needed: int = 0  # how many would probably decide; 0 when decided


@dataclass(frozen=True, slots=True)
class Report:
    """All verdicts of one check, and on what machine they were made."""

    verdicts: Sequence[Verdict]
    facts: dict[str, Any] = field(default_factory=dict)  # margins, revisions, machine, calibration

    def count(self, kind: Kind) -> int:
        """How many verdicts are of a kind."""
        return sum(verdict.kind == kind for verdict in self.verdicts)

    def exit_code(self, undecided: int = EXIT_UNDECIDED) -> int:
        """1 when any cell is worse, else 2 when any is an error, else `undecided` when any is, else 0."""
        if self.count("worse"):
            return EXIT_WORSE
        if self.count("error") or not self.verdicts:
            return EXIT_ERROR
        return undecided if self.count("undecided") else EXIT_SAME
