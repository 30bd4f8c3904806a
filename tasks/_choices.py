"""How a perfect and an ignorant model answer a multiple-choice question: one scored continuation a choice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from harness.api.types import Request, Score, Scored

if TYPE_CHECKING:
    import numpy as np

UNLIKELY = -50.0  # nats; the exponential still is a positive double


def certain(requests: Sequence[Request], right: Collection[int]) -> tuple[Scored, ...]:
    """Log-probability 0 for the continuations whose index is in `right`, `UNLIKELY` for the others."""
    return tuple(_scored(request, 0.0 if index in right else UNLIKELY) for index, request in enumerate(requests))


def uniform(requests: Sequence[Request], rng: np.random.Generator) -> tuple[Scored, ...]:
    """Independent log-probabilities in (-1, 0): every order of the choices is equally likely."""
    return tuple(_scored(request, -float(rng.random())) for request in requests)


def _scored(request: Request, logprob: float) -> Scored:
    assert isinstance(request, Score)
    return Scored((logprob,), ((0, len(request.continuation)),), greedy=logprob == 0.0)
