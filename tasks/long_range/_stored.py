"""How does a labelling task over stored rows keep validation out of test? A digest of each row decides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

R = TypeVar("R")


def part(key: str, shares: tuple[int, int]) -> str:
    """The split of a key: train, validation or test; `shares` are the percentages of the first two."""
    at = int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:4], "big") % 100
    return "train" if at < shares[0] else "validation" if at < sum(shares) else "test"


def shuffled(rows: Iterable[R], seed: int) -> Iterator[R]:
    """Rows in an order that the seed decides; files are often sorted by class."""
    held = list(rows)
    for index in np.random.default_rng(seed).permutation(len(held)):
        yield held[index]
