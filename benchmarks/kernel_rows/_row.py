"""What a row of the kernel benchmark is: two sides of the same work, and the ratio that is wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Row:
    """`prepare` builds the inputs and returns (ours, theirs); the ratio is seconds of theirs over seconds of ours."""

    name: str
    prepare: Callable[[], tuple[Work, Work]]
    at_least: float | None = None  # what the ratio should reach
    at_most: float | None = None  # what it should not pass
    device: str = "cpu"  # "cuda" rows are skipped, with the reason, where there is no such device
    rounds: int = 15  # timed calls of each side, one after the other in turn
    needs: str = ""  # a module of another project that one side needs
