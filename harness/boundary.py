"""What happens when code that is not ours breaks? One line that says whose it was and how it ended."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import final

from harness.api.errors import HarnessError

OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


class ForeignError(HarnessError):
    """A task, model, decoder or metric raised something of its own; that exception is the `__cause__`."""


@final
class foreign:  # noqa: N801 - it reads as a statement: `with foreign("task x"):`
    """Run a plug-in's code: whatever it raises, but for the errors meant for users, becomes a ForeignError.

    The one place where anything is caught: the code inside belongs to whoever wrote the plug-in, and no list of types
    could foresee it. A sweep of forty models must outlive one that is broken, one whose library panics (Rust's panics
    are no Exception in Python) and one that calls `sys.exit`; what the user or a generator stops is passed on.

    A class, since from Python 3.12 on a generator's context keeps the frames of what it raised, and with them the
    memory of a call that did not fit.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Pass on what is meant for users, and turn all else into one line."""
        if problem is None or isinstance(problem, (HarnessError, KeyboardInterrupt, GeneratorExit)):
            return
        raise ForeignError(f"{self._what} failed: {last_line(problem)}") from problem


def is_out_of_memory(problem: BaseException | None) -> bool:
    """Whether memory ran out, on any device; judged by name and text, since torch is not ours to import here."""
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":
        return True
    text = str(problem).lower()
    return isinstance(problem, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY)


def last_line(problem: BaseException | None) -> str:
    """What a traceback would end with, on one line, and where it was raised."""
    if problem is None:
        return "no reason given"
    frames = traceback.extract_tb(problem.__traceback__)
    where = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(problem).split())
    return f"{type(problem).__name__}{': ' if text else ''}{text[:300]}{where}"
