"""Does a record's contestant still mean what it meant? Its parts' stated versions then, beside those of today."""

from __future__ import annotations

from harness import parts
from harness.api.errors import HarnessError
from harness.results import RunResult


def outdated(result: RunResult) -> str:
    """`version 2 of sequence/gss` where a part of model or decoder has another version today, "" where none has.

    A contestant that is not installed here (a plug-in's, an imported row's) is taken at its word.
    """
    try:
        roots = [parts.resolve("model", result.model)]
        roots += [parts.resolve("decoder", result.decoder)] if result.decoder else []
    except HarnessError:
        return ""
    then = result.signature.get("versions")
    then = then if isinstance(then, dict) else {}
    # before `versions` stood in a signature, everything was at its first
    moved = {name: now for name, now in parts.versions(roots).items() if then.get(name, 1) != now}
    return ", ".join(f"version {now} of {name.partition(' ')[2]}" for name, now in moved.items())
