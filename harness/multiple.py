"""What may be concluded from many comparisons at once? Step-down Holm, letters for ties, mean ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.api.errors import UsageError
from harness.api.metrics import Array
from harness.paired import wilcoxon

# K competitors, N data sets


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; NaN stays NaN and does not count as a comparison.

    Sorted ascending, adjusted_(i) = max_{j<=i} min(1, (m - j + 1) p_(j)). Paper: Holm 1979, Scand. J. Stat. 6.

    Differs from the paper: none.
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(values), np.nan)
    order = np.argsort(values, kind="stable")[: int((~np.isnan(values)).sum())]  # NaN sorts last
    multiplied = np.minimum(1.0, np.arange(len(order), 0, -1) * values[order])
    adjusted[order] = np.maximum.accumulate(multiplied)
    return [float(value) for value in adjusted]


def letters(count: int, different: Sequence[tuple[int, int]]) -> list[str]:
    """Compact letter display: two rows share a letter exactly when they cannot be told apart.

    `different` holds the pairs of rows (best row first, 0-based) that a test separates. Columns start as one group
    of all rows; each pair splits the groups that hold both, and groups inside another are absorbed.
    Paper: Piepho 2004, An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons.

    Differs from the paper: none.
    """
    # a group is a number whose bits are its rows
    groups = [(1 << count) - 1] if count else []
    for left, right in different:
        if left == right or not (0 <= left < count and 0 <= right < count):
            raise UsageError(f"letters: pair ({left}, {right}) is not two of {count} rows.")
        pair = 1 << left | 1 << right
        whole = [group for group in groups if group & pair == pair]
        groups = [group for group in groups if group & pair != pair]
        split = dict.fromkeys(group & ~(1 << row) for group in whole for row in (left, right))
        # only parts can lie inside another group: the whole ones did not
        groups += [part for part in split if not any(_inside(part, other) for other in (*groups, *split))]
    groups.sort(key=lambda group: [row for row in range(count) if group >> row & 1])
    return ["".join(_letter(index) for index, group in enumerate(groups) if group >> row & 1) for row in range(count)]


def ranks(scores_NK: Array, *, higher_is_better: bool = True) -> Array:
    """Ranks of the competitors on every data set [N, K]: 1 is best, equal scores share the mean of their ranks.

    rank = 1 + #better + (#equal others) / 2.
    """
    scores_NK = np.asarray(scores_NK, dtype=np.float64) * (1.0 if higher_is_better else -1.0)
    mine_NK1, others_N1K = scores_NK[:, :, None], scores_NK[:, None, :]
    better_NK = (others_N1K > mine_NK1).sum(axis=2)
    equal_NK = (others_N1K == mine_NK1).sum(axis=2)
    return np.asarray(1.0 + better_NK + (equal_NK - 1) / 2)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Mean ranks of K competitors over N data sets (1 is best), and which pairs differ."""

    mean_ranks: tuple[float, ...]
    friedman_p: float  # NaN for fewer than three competitors or two data sets
    pairs: tuple[tuple[int, int, float], ...]  # (row, row, Holm-adjusted Wilcoxon p)
    different: tuple[tuple[int, int], ...]


def rank(scores_NK: Array, *, higher_is_better: bool = True, level: float = 0.05) -> Ranking:
    """The numbers behind a critical-difference diagram: Friedman, then Wilcoxon pairs with step-down Holm.

    Pairs count as different only where Friedman's test rejects first. Papers: Demsar 2006; Benavoli, Corani,
    Mangili 2016 (Wilcoxon in place of the Nemenyi test).

    Differs from the paper: none. Errors: UsageError for scores with missing cells, which would rank unequal sets.
    """
    from scipy.stats import friedmanchisquare

    scores = np.asarray(scores_NK, dtype=np.float64)
    if scores.ndim != 2 or np.isnan(scores).any():
        raise UsageError("mean ranks need one score of every competitor on every data set; some are missing.")
    ranks_NK = ranks(scores, higher_is_better=higher_is_better)
    sets, competitors = scores.shape
    spread = bool((ranks_NK != ranks_NK[:, :1]).any())
    friedman = float("nan")
    if competitors >= 3 and sets >= 2:
        friedman = float(friedmanchisquare(*scores.T).pvalue) if spread else 1.0
    chosen = list(combinations(range(competitors), 2))
    adjusted = holm([wilcoxon(scores[:, left], scores[:, right]) for left, right in chosen])
    pairs = tuple((left, right, p) for (left, right), p in zip(chosen, adjusted, strict=True))
    rejected = competitors == 2 or friedman < level
    different = tuple((left, right) for left, right, p in pairs if rejected and p < level)
    return Ranking(tuple(float(value) for value in ranks_NK.mean(axis=0)), friedman, pairs, different)


def _inside(group: int, other: int) -> bool:
    return group != other and group & other == group


def _letter(index: int) -> str:
    """a..z, then aa, ab, ...: as spreadsheet columns are named, joined with a dot beyond z."""
    if index < 26:
        return chr(ord("a") + index)
    return f".{_letter(index // 26 - 1)}{chr(ord('a') + index % 26)}"
