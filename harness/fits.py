"""Where does a fit live? In one folder for all runs that need the same one, whatever their decoder, split or limit."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from harness import signature as signatures
from harness.api.errors import HarnessError
from harness.cache import write_whole

FITS = "fits"  # beside the runs of one --out
DONE = "fit.json"
LOCK = "lock"
CHECKPOINT = "checkpoint.safetensors"  # of the training loop: eight bytes of length, a header in JSON, weights
HEADER_BYTES = 2**24  # a longer header is none: the format allows six times this
POINTS = 100  # of a training curve in a record

# the parts of a run's signature that cannot change trained weights
OTHER = ("data", "split", "limit", "metrics", "decoder", "decoder_weights", "code", "versions")


def folder_of(out: Path, signature: Mapping[str, Any], code: Mapping[str, str]) -> Path:
    """`out/fits/<digest>` of what decides the weights: task, training data, model, budget, seed, device and source.

    `code` holds the digests of the sources of task and learner alone.
    """
    decides = {name: value for name, value in signature.items() if name not in OTHER}
    return out / FITS / signatures.digest({**decides, "code": dict(code)})


class FitFolder:
    """A fit's checkpoints and what it cost, held by one process at a time. Use as a context manager.

    Another process that needs the same fit waits for it, and then finds it done.
    """

    def __init__(self, path: Path, announce: Callable[[str], None]) -> None:
        self.path = path
        self._announce = announce
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / LOCK, "w", encoding="ascii")
        except OSError as problem:
            raise HarnessError(f"cannot write in {self.path}: {problem}.") from problem
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._announce(f"another process is fitting the same model in {self.path}; waiting for it")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def checkpoints(self) -> Path:
        """The learner's own folder."""
        return self.path / "checkpoints"

    def clear(self) -> None:
        """Forget the fit, so that it is made anew."""
        (self.path / DONE).unlink(missing_ok=True)
        if self.checkpoints.exists():
            shutil.rmtree(self.checkpoints)

    def cost(self) -> float | None:
        """Seconds that a finished fit took, or None when there is none."""
        try:
            return float(json.loads((self.path / DONE).read_text(encoding="utf-8"))["seconds"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def history(self) -> list[list[float | None]]:
        """[step, training loss, validation loss] a line (None: not taken), at most `POINTS`; [] where none is kept.

        It stands in the checkpoint's header, under `progress`, so that a fit that is reused tells it again.
        """
        try:
            with open(self.checkpoints / CHECKPOINT, "rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(min(length, HEADER_BYTES)))
            lines = json.loads(header["__metadata__"]["progress"])["history"]
            told = [
                [_rounded(number) for number in (step, training, validation)] for step, training, validation in lines
            ]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # another learner's checkpoint, or none
            return []
        return [told[round(place)] for place in _spread(len(told))]

    def finished(self, seconds: float) -> None:
        """Write down what the fit took."""
        write_whole(self.path / DONE, json.dumps({"seconds": seconds}) + "\n")


def _rounded(number: float) -> float | None:
    return float(f"{number:.5g}") if isfinite(number) else None


def _spread(count: int) -> list[float]:
    """Places of at most `POINTS` of `count` points, the first and the last among them."""
    kept = min(count, POINTS)
    return [place * (count - 1) / max(1, kept - 1) for place in range(kept)]
