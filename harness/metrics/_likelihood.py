"""How probable was a text, and how long is it? Log-probabilities with their counts of words, bytes and tokens."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from math import inf
from typing import Literal

import numpy as np

from harness.api.metrics import Array, TotalsMetric
from harness.api.types import Example, Response, Score, Scored

Unit = Literal["token", "word", "byte", "text"]


class Likelihood(TotalsMetric):
    """A function of the log-probability of all texts over their number of units, both summed before dividing.

    Words are counted as lm-eval counts them (pieces between white space, the empty ones at the ends included) and
    bytes in UTF-8, of the requests' continuations; a target {"words": n, "bytes": n} overrides the counts (texts
    that were detokenised count their original words).
    """

    higher_is_better = False

    @property
    @abstractmethod
    def per(self) -> Unit:
        """What the log-probability is divided by."""

    @abstractmethod
    def from_rate(self, nats: Array) -> Array:
        """The value from the mean negative log-probability a unit."""

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Negative log-probability in nats, and units."""
        answers = [answer for answer in responses if isinstance(answer, Scored)]
        if len(answers) != len(responses):
            raise TypeError(f"{self.name} measures scored texts, not {type(responses[0]).__name__}")
        nats = -sum(answer.total for answer in answers)
        return np.array([nats, _count(self.per, example, answers)], dtype=np.float64)

    def from_totals(self, totals: Array, count: Array) -> Array:
        """Divide the sums; NaN where there is no unit at all."""
        units = np.where(totals[..., 1] > 0, totals[..., 1], np.nan)
        return self.from_rate(np.asarray(totals[..., 0] / units))


def exponential(nats: Array) -> Array:
    """exp, infinite where it overflows."""
    return np.asarray(np.where(nats > 709.0, inf, np.exp(np.minimum(nats, 709.0))))


def _count(per: Unit, example: Example, answers: Sequence[Scored]) -> float:
    if per == "text":
        return 1.0
    if per == "token":
        return float(sum(len(answer.logprobs) for answer in answers))
    given = example.target.get(f"{per}s") if isinstance(example.target, Mapping) else None
    if given is not None:
        return float(given)
    texts = [request.continuation for request in example.requests if isinstance(request, Score)]
    if per == "word":
        return float(sum(len(re.split(r"\s+", text)) for text in texts))
    return float(sum(len(text.encode("utf-8", "surrogatepass")) for text in texts))
