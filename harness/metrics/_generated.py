"""The generations of one example, or a clear error where a metric of generations meets another kind of response."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.types import Generated, Response


def generated(metric: str, responses: Sequence[Response]) -> list[Generated]:
    """The responses as generations; TypeError when one is of another kind, which is a task with the wrong metric."""
    found = [response for response in responses if isinstance(response, Generated)]
    if len(found) != len(responses) or not found:
        kinds = ", ".join(sorted({type(response).__name__ for response in responses})) or "nothing"
        raise TypeError(f"{metric} measures generations, not {kinds}")
    return found
