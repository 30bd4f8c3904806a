"""Which tokenizer files would make the `tokenizers` library panic? They are refused before it sees them.

A panic is no exception that can be trusted to be caught: some (a merge cut inside a letter) abort the process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.api.errors import DataError
from harness.models.lms._json_file import read_object


def refuse_what_panics(path: Path) -> None:
    """DataError when the file is no JSON object, or when its merges do not carry the prefix that its model declares."""
    model = read_object(path, required=True).get("model")
    if not isinstance(model, dict):
        raise DataError(f"{path} is not a tokenizer file: it has no object 'model'.")
    prefix, merges = model.get("continuing_subword_prefix"), model.get("merges")
    if not isinstance(prefix, str) or not prefix or not isinstance(merges, list):
        return
    for merge in merges:
        second = _second(merge)
        # the library cuts the prefix off by its length in letters, as if those were bytes
        if second is not None and (not second.startswith(prefix) or not prefix.isascii()):
            raise DataError(
                f"{path}: merge {str(merge)[:80]!r} does not continue with {prefix[:40]!r}, "
                "its model's continuing_subword_prefix."
            )


def asked(call: Callable[[], Any]) -> Any:
    """The library's answer; ValueError for its bare Exception and for a panic, which is a BaseException."""
    try:
        return call()
    except (OSError, ValueError, AttributeError, MemoryError):
        raise
    except BaseException as problem:
        if type(problem) is Exception or type(problem).__name__ == "PanicException":
            raise ValueError(f"the tokenizer failed: {one_line(problem)}") from problem
        raise


def one_line(problem: BaseException) -> str:
    """What an exception says, without line breaks, and not for ever."""
    return " ".join(str(problem).split())[:300]


def _second(merge: Any) -> str | None:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if isinstance(parts, list) and len(parts) == 2 and isinstance(parts[1], str):
        return parts[1]
    return None
