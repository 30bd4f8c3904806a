"""How many tokens are encoded for rows that begin alike? Each shared one once, where that is worth an own product."""

from __future__ import annotations

import pytest

from harness.models.lms._forest import grow


def rows(count: int, shared: int, own: int) -> list[list[int]]:
    """`count` rows that begin with the same `shared` tokens and end in `own` tokens each of their own."""
    return [[*range(shared), *range(1000 * (row + 1), 1000 * (row + 1) + own)] for row in range(count)]


@pytest.mark.parametrize(
    ("count", "shared", "own", "encoded"),
    [
        (5, 40, 30, 40 + 5 * 30),  # 160 tokens saved
        (2, 32, 90, 32 + 2 * 90),  # 32 saved: just worth it
        (2, 31, 90, 2 * 121),  # 31 saved: not worth it
        (40, 15, 90, 40 * 105),  # the run is too short for a product of its own, however many share it
        (40, 16, 90, 16 + 40 * 90),
        (3, 20, 20, 20 + 3 * 20),  # 80 tokens in all: one product under a tree mask
        (3, 50, 0, 50),  # equal rows
        (1, 50, 10, 60),
    ],
)
def test_a_shared_beginning_is_encoded_once_where_it_is_worth_it(
    count: int, shared: int, own: int, encoded: int
) -> None:
    forest = grow(rows(count, shared, own))
    assert forest.tokens == encoded
    for number, row in enumerate(rows(count, shared, own)):
        spelled = [token for index in forest.chains[number] for token in forest.segments[index].tokens]
        assert spelled == row
