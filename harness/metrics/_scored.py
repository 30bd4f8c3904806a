"""The scored continuations of one example: their totals, and the surprisal of a stretch of characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.api.types import Response, Scored


def scored(metric: str, responses: Sequence[Response]) -> list[Scored]:
    """The responses as scores; TypeError when one is of another kind, which is a task with the wrong metric."""
    found = [response for response in responses if isinstance(response, Scored)]
    if len(found) != len(responses) or not found:
        kinds = ", ".join(sorted({type(response).__name__ for response in responses})) or "nothing"
        raise TypeError(f"{metric} measures scored continuations, not {kinds}")
    return found


def bits(response: Scored, start: int, end: int) -> float:
    """Surprisal of the tokens that end in (start, end], in bits: a token belongs to the word in which it ends."""
    tokens = zip(response.logprobs, response.spans, strict=True)
    nats = sum(logprob for logprob, (_, last) in tokens if start < last <= end)
    return -nats / math.log(2)
