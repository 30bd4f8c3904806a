"""What is known of an example on its way? Its answers so far, what they took, and the journal's entry in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness import signature as signatures
from harness.api.types import Example, Failure, Generated, Response, Scored
from harness.journal import Entry


@dataclass(slots=True)
class Slot:
    """An example on its way: the answers so far, and how long each door call took to give them."""

    example: Example
    position: int
    answers: list[Response | None]
    sizes: list[int] = field(default_factory=list)  # tokens or time steps, one a request
    waits: dict[int, float] = field(default_factory=dict)  # door call -> seconds
    first_token: float | None = None
    spent: dict[str, float] | None = field(default_factory=dict)  # of calls that were its own; None in company

    @property
    def given(self) -> list[Response]:
        """The answers that are there."""
        return [held for held in self.answers if held is not None]

    @property
    def failed(self) -> bool:
        """Whether an answer is a failure."""
        return any(isinstance(held, Failure) for held in self.answers)


def entry_of(slot: Slot, statistics: Mapping[str, Any]) -> Entry:
    """A finished example as the journal keeps it."""
    return Entry(
        id=slot.example.id,
        responses=tuple(slot.given),
        statistics=statistics,
        tags=dict(slot.example.tags),
        cluster=slot.example.cluster,
        timings={
            "latency": sum(slot.waits.values()),
            "first_token": slot.first_token,
            "tokens": sum(_tokens(answer) for answer in slot.given),
            "spent": _spent(slot),
        },
        asked=signatures.asked(slot.example),
        failed=slot.failed,
    )


def _spent(slot: Slot) -> dict[str, float] | None:
    """What the example took, and what its decoding made of it, whatever the task measures; None in company."""
    answers = [answer for answer in slot.given if isinstance(answer, Generated)]
    if not slot.spent or not answers:
        return slot.spent
    return slot.spent | {
        "steps": float(sum(len(answer.accepted) for answer in answers)),
        "emitted": float(sum(sum(answer.accepted) for answer in answers)),
        "verified": float(sum(answer.drafted for answer in answers)),
    }


def added(before: dict[str, float] | None, spent: Mapping[str, float]) -> dict[str, float] | None:
    """Sums by name; None, which stands for time spent in company, stays None."""
    if before is None:
        return None
    return {name: before.get(name, 0.0) + spent.get(name, 0.0) for name in {**before, **spent}}


def _tokens(response: Response) -> int:
    """True tokens of a response: generated up to the first EOS, or scored."""
    if isinstance(response, Generated):
        return len(response.tokens)
    return len(response.logprobs) if isinstance(response, Scored) else 0
