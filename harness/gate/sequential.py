"""When have enough rounds been seen? An anytime-valid confidence sequence for the median of paired differences."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from math import ceil, comb, inf, log1p
from typing import Literal

Decision = Literal["better", "same", "worse", "undecided"]


@dataclass(slots=True)
class MedianSequence:
    """Bounds on the median of a stream of numbers that hold at every time at once, with any noise.

    Each bound is wrong, ever, with probability <= `error`: looking after each round and stopping when one likes
    costs nothing. No shape, spread or tail is assumed, only that each round lands above and below the median alike.

    For a tested value v, k of n rounds above v, the wealth of a gambler who bets on "above" with a uniform prior on
    its probability p in (1/2, 1) is a martingale while the median is <= v:

        W(k, n) = 2 ∫ (2p)^k (2(1-p))^(n-k) dp over (1/2, 1) = sum_{j<=k} C(n+1, j) / ((n + 1) C(n, k)),

    so that W >= 1 / error ever happens with probability <= error (Ville). All v with such wealth are ruled out.
    Papers: Ville 1939; Robbins 1970; Howard and Ramdas 2022, Sequential estimation of quantiles.

    Differs from the paper: the prior is uniform on (1/2, 1), which makes the wealth a ratio of integers.
    """

    error: float
    values: list[float] = field(default_factory=list)  # ascending
    low: float = -inf
    high: float = inf

    def add(self, value: float) -> None:
        """Take in one round and tighten the bounds; they never widen again."""
        insort(self.values, value)
        size = len(self.values)
        above = rounds_above(size, self.error)
        if above is not None:
            self.low = max(self.low, self.values[size - above])
            self.high = min(self.high, self.values[above - 1])

    @property
    def median(self) -> float:
        """The middle value (the mean of the two middle ones); NaN before the first round."""
        size = len(self.values)
        if size == 0:
            return float("nan")
        return (self.values[(size - 1) // 2] + self.values[size // 2]) / 2

    def decide(self, margin: float) -> Decision:
        """The verdict on a log-ratio of times: worse when the median ratio is surely above 1 + margin, and so on."""
        bound = log1p(margin)
        if self.low > bound:
            return "worse"
        if self.high < -bound:
            return "better"
        return "same" if -bound < self.low and self.high < bound else "undecided"

    def rounds_needed(self, margin: float, limit: int = 100_000) -> int:
        """Rounds after which the bounds, shrinking with sqrt(n), would probably decide."""
        distance = min(abs(self.median - log1p(margin)), abs(self.median + log1p(margin)))
        width = max(self.high - self.median, self.median - self.low)
        if not self.values or distance == 0 or width == inf:
            return limit if self.values and distance == 0 else 2 * max(len(self.values), 10)
        return min(limit, ceil(len(self.values) * (width / distance) ** 2))


def wealth(above: int, size: int) -> float:
    """W(k, n): evidence against "the median is not above v" from k of n rounds above v."""
    return sum(comb(size + 1, j) for j in range(above + 1)) / ((size + 1) * comb(size, above))


def rounds_above(size: int, error: float) -> int | None:
    """The fewest of `size` rounds above a value that rule it out as the median; None when even all do not."""
    chosen = None
    for above in range(size, size // 2, -1):
        if wealth(above, size) < 1 / error:
            break
        chosen = above
    return chosen
