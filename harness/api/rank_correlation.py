"""How do two orders agree, over many resamples of the same pairs? Spearman from how often each pair is drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# N pairs, R resamples, D draws of one, T groups of tied values
BLOCK = 4_000_000  # numbers held at a time (32 MB)


def counts(draws_RD: NDArray[np.int64], size: int) -> Iterator[tuple[slice, Array]]:
    """How often each of N rows is drawn, [R, N], some resamples at a time, each block with its place."""
    block = max(1, BLOCK // max(1, size))
    for start in range(0, len(draws_RD), block):
        part_RD = draws_RD[start : start + block]
        places_RD = part_RD + np.arange(len(part_RD))[:, None] * size
        counted = np.bincount(places_RD.ravel(), minlength=len(part_RD) * size)
        yield slice(start, start + len(part_RD)), counted.reshape(len(part_RD), size).astype(np.float64)


def spearman(first_N: Array, second_N: Array, counts_RN: Array) -> Array:
    """Correlations [R] of the ranks of pairs that are drawn so often.

    Values are sorted once: in a resample, the rank of a group of ties follows from how many pairs were drawn before it.
    Ties share their mean rank. NaN where one side of a resample holds one value alone, or nothing.
    """
    if not counts_RN.size:
        return np.full(len(counts_RN), np.nan)
    middle_R1 = (counts_RN.sum(axis=1, keepdims=True) + 1) / 2
    first_RN, second_RN = (_ranks(side_N, counts_RN) - middle_R1 for side_N in (first_N, second_N))
    weighted_RN = counts_RN * first_RN
    product_R = np.einsum("rn,rn->r", weighted_RN, second_RN)
    first_R = np.einsum("rn,rn->r", weighted_RN, first_RN)
    square_R = first_R * np.einsum("rn,rn,rn->r", counts_RN, second_RN, second_RN)
    flat_R = square_R <= 0
    return np.asarray(np.where(flat_R, np.nan, product_R / np.sqrt(np.where(flat_R, 1.0, square_R))))


def _ranks(values_N: Array, counts_RN: Array) -> Array:
    order_N = np.argsort(values_N, kind="stable")
    sorted_N = values_N[order_N]
    starts_T = np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]))
    group_N = np.empty(len(values_N), dtype=np.int64)
    group_N[order_N] = np.repeat(np.arange(len(starts_T)), np.diff(np.append(starts_T, len(values_N))))
    drawn_RT = np.add.reduceat(counts_RN[:, order_N], starts_T, axis=1)
    return np.asarray((np.cumsum(drawn_RT, axis=1) - (drawn_RT - 1) / 2)[:, group_N])
