"""What do all cells of one command share? Where to write, how much to batch, whom to tell, and the model that is up."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import devices, timing
from harness.api.protocols import Sources
from harness.planning import Cell

BATCH_REQUESTS = 128


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands, for whoever draws it."""

    cell: Cell
    phase: str  # "load", "fit", "run", "summarise", "done", "reused"
    done: int = 0  # examples finished, those of earlier sessions included
    total: int | None = None  # examples, once known
    failed: int = 0
    rate: float = 0.0  # examples per second in this session
    remaining: float | None = None  # seconds
    metric: str = ""
    value: float | None = None  # of the metric over what is finished
    share: float = 0.0  # of the training budget, in phase "fit"
    text: str = ""  # "loss 1.234", in phase "fit"


def _unheard(line: str) -> None:
    """One line that nobody reads."""


def _unwatched(progress: Progress) -> None:
    """Progress that nobody draws."""


@dataclass(frozen=True, slots=True)
class Session:
    """What all cells of one command share."""

    sources: Sources
    out: Path = Path("runs")
    fresh: bool = False  # compute again what is finished
    batch_tokens: int = 8192  # padded tokens a batch, as the model's `size` counts them
    batch_requests: int = BATCH_REQUESTS  # 1: each request alone, which is what a latency is measured on
    interleave: bool = False  # run the decoders of one task and model in turns, one example each
    warm_up: bool = True
    announce: Callable[[str], None] = _unheard
    progress: Callable[[Progress], None] = _unwatched


@dataclass(slots=True)
class Shelf:
    """The one model that is up, so that consecutive cells share it."""

    key: Any = None
    loaded: Any = None
    warm: set[str] = field(default_factory=set)  # doors that have been warmed up
    fits: set[Path] = field(default_factory=set)  # fits that this command has made or used

    def clear(self) -> None:
        """Take the model down, so that its memory is free before the next one comes up."""
        if self.loaded is not None:
            self.key, self.loaded, self.warm = None, None, set()
            gc.collect()
            # the cell that takes it down is not charged for it
            devices.return_freed()
            timing.reset_peak_resident()
