"""What happens when code that is not ours breaks? One line that says whose it was and how it ended."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from harness.api.errors import HarnessError

OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


class ForeignError(HarnessError):
    """A task, model, decoder or metric raised something of its own; that exception is the `__cause__`."""


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Run a plug-in's code: whatever it raises, but for the errors meant for users, becomes a ForeignError.

    The one place where anything is caught: the code inside belongs to whoever wrote the plug-in, and no list of types
    could foresee it. A sweep of forty models must outlive one that is broken, one whose library panics (Rust's panics
    are no Exception in Python) and one that calls `sys.exit`; what the user or a generator stops is passed on.
    """
    try:
        yield
    except (HarnessError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:
        raise ForeignError(f"{what} failed: {last_line(problem)}") from problem


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
