"""Which children of which rank does a static draft tree try? Paths of ranks, in breadth-first order."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

# The tree of the Token Recycling release ("2.2.2"): how many children each path of ranks has. 80 nodes on levels of
# 8, 21, 25, 15, 8 and 3; paths that are not named are leaves.
RECYCLING_CHILDREN = {
    "": 8,
    **{"0": 8, "1": 4, "2": 3, "3": 2, "4": 1, "5": 1, "6": 1, "7": 1},
    **{"00": 8, "01": 3, "02": 2, "03": 1, "04": 1, "05": 1, "06": 1, "07": 1},
    **{"10": 2, "11": 1, "20": 1, "30": 1, "40": 1, "50": 1},
    **{"000": 5, "001": 2, "002": 1, "003": 1, "004": 1, "010": 1, "020": 1, "100": 1, "200": 1, "300": 1},
    **{"0000": 3, "0001": 1, "0002": 1, "0010": 1, "0100": 1, "1000": 1, "00000": 2, "00010": 1},
}


@dataclass(frozen=True, slots=True)
class RankTree:
    """Nodes below the root: parent index (0 is the root, node i is i + 1) and rank among the parent's candidates."""

    parents: tuple[int, ...]
    ranks: tuple[int, ...]
    depths: tuple[int, ...]

    @property
    def nodes(self) -> int:
        """Drafted nodes."""
        return len(self.parents)


def recycling_tree() -> RankTree:
    """The published 80-node tree."""
    paths = [path + str(rank) for path, count in RECYCLING_CHILDREN.items() for rank in range(count)]
    return _tree([tuple(map(int, path)) for path in paths])


def chain(length: int) -> RankTree:
    """Always the first candidate."""
    return _tree([(0,) * depth for depth in range(1, length + 1)])


def best_tree(hits: Sequence[float], nodes: int, depth: int = 6) -> RankTree:
    """The `nodes` likeliest paths when rank r is right with probability hits[r], independently at each level."""
    ready: list[tuple[float, tuple[int, ...]]] = [(-chance, (rank,)) for rank, chance in enumerate(hits)]
    heapq.heapify(ready)
    chosen: list[tuple[int, ...]] = []
    while ready and len(chosen) < nodes:
        chance, path = heapq.heappop(ready)
        chosen.append(path)
        if len(path) < depth:
            for rank, hit in enumerate(hits):
                heapq.heappush(ready, (chance * hit, (*path, rank)))
    return _tree(chosen)


def _tree(paths: Sequence[tuple[int, ...]]) -> RankTree:
    ordered = sorted(paths, key=lambda path: (len(path), path))
    index = {(): 0} | {path: number for number, path in enumerate(ordered, start=1)}
    return RankTree(
        tuple(index[path[:-1]] for path in ordered),
        tuple(path[-1] for path in ordered),
        tuple(len(path) for path in ordered),
    )
