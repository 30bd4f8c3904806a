"""The one measurement behind a kernel metric's example, or an error that says what came instead."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.types import Measured, Response


def measured(name: str, responses: Sequence[Response]) -> Measured:
    """The first response; TypeError when it measures nothing."""
    answer = responses[0]
    if not isinstance(answer, Measured):
        raise TypeError(f"{name} reads measurements, not {type(answer).__name__}")
    return answer
