"""Which tokens of many rows are the same tokens? Rows become a forest in which every shared prefix exists once.

A few-shot preamble, a question with its choices and a minimal pair are all shared prefixes. The forest is cut into
`Cluster`s, each one attention product: either one long run of tokens, or a whole subtree of a few short ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# a subtree of at most this many tokens is one attention product under a tree mask
CLUSTER_TOKENS = 96
# a longer shared run is split off when at least this many tokens of encoding are saved by it
WORTH_SHARING = 32


@dataclass(slots=True)
class Segment:
    """A run of tokens with no branch inside."""

    tokens: Sequence[int]
    depth: int  # position of the first token
    parent: int  # index of the segment that comes before, or -1
    children: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Cluster:
    """Segments whose tokens attend in one product; they follow one another as listed."""

    past: tuple[int, ...]  # segments read but not in the cluster, root first
    segments: list[int]


@dataclass(slots=True)
class Forest:
    """Segments in depth-first order, and for each row the chain of segments that spells it."""

    segments: list[Segment] = field(default_factory=list)
    chains: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens to encode."""
        return sum(len(segment.tokens) for segment in self.segments)

    def chain(self, index: int) -> tuple[int, ...]:
        """The segments from the root to this one, itself included."""
        found = []
        while index >= 0:
            found.append(index)
            index = self.segments[index].parent
        return tuple(reversed(found))

    def place(self, row: int, position: int) -> tuple[int, int]:
        """(segment, offset) of a row's token."""
        for index in reversed(self.chains[row]):
            if self.segments[index].depth <= position:
                return index, position - self.segments[index].depth
        raise IndexError(f"row {row} has no token {position}")


def grow(rows: Sequence[Sequence[int]]) -> Forest:
    """The forest of some rows of tokens; every row keeps its own chain, equal rows share one."""
    forest = Forest(chains=[()] * len(rows))
    order = sorted(range(len(rows)), key=lambda index: tuple(rows[index]))
    # explicit stack: few-shot prompts may branch deeper than Python's recursion limit
    waiting: list[tuple[list[int], int, int]] = [(order, 0, -1)]
    while waiting:
        members, depth, parent = waiting.pop()
        first, last = rows[members[0]], rows[members[-1]]
        common = _common(first, last, depth)
        run = common - depth
        alone = len(first) == len(last) == common
        worth = run * (len(members) - 1) >= WORTH_SHARING and run >= WORTH_SHARING // 2
        if run and (alone or worth or _total(rows, members, depth) <= CLUSTER_TOKENS):
            forest.segments.append(Segment(first[depth:common], depth, parent))
            index = len(forest.segments) - 1
            if parent >= 0:
                forest.segments[parent].children.append(index)
            parent, depth = index, common
        chain = forest.chain(parent)
        parts = list(_split(rows, members, common))
        for part in reversed(parts):
            if len(rows[part[0]]) == len(rows[part[-1]]) == depth:
                for member in part:
                    forest.chains[member] = chain
            else:
                waiting.append((part, depth, parent))
    return forest


def cluster(forest: Forest) -> list[Cluster]:
    """Clusters in an order in which every cluster's past comes before it."""
    weights = [len(segment.tokens) for segment in forest.segments]
    for index in range(len(forest.segments) - 1, -1, -1):
        parent = forest.segments[index].parent
        if parent >= 0:
            weights[parent] += weights[index]
    clusters: list[Cluster] = []
    open_cluster: dict[int, tuple[Cluster, int]] = {}  # parent -> the cluster that its next small subtree may join
    index = 0
    while index < len(forest.segments):
        parent = forest.segments[index].parent
        if weights[index] > CLUSTER_TOKENS:
            clusters.append(Cluster(forest.chain(parent), [index]))
            index += 1
            continue
        subtree = [index, *_descendants(forest, index)]
        held, size = open_cluster.get(parent, (None, 0))
        if held is None or size + weights[index] > CLUSTER_TOKENS:
            held, size = Cluster(forest.chain(parent), []), 0
            clusters.append(held)
        held.segments += subtree
        open_cluster[parent] = (held, size + weights[index])
        index += len(subtree)
    return clusters


def _descendants(forest: Forest, index: int) -> Iterator[int]:
    for child in forest.segments[index].children:
        yield child
        yield from _descendants(forest, child)


def _split(rows: Sequence[Sequence[int]], members: list[int], depth: int) -> Iterator[list[int]]:
    """Sorted members grouped by their token at `depth`; those that end there come first."""
    part: list[int] = []
    for member in members:
        row = rows[member]
        token = row[depth] if len(row) > depth else -1
        if part:
            before = rows[part[-1]]
            if token != (before[depth] if len(before) > depth else -1):
                yield part
                part = []
        part.append(member)
    yield part


def _total(rows: Sequence[Sequence[int]], members: list[int], depth: int) -> int:
    """Tokens of the members' own forest below `depth`; stops counting when it is too large to matter."""
    total = len(rows[members[0]]) - depth
    for before, after in itertools.pairwise(members):
        total += len(rows[after]) - _common(rows[before], rows[after], depth)
        if total > CLUSTER_TOKENS:
            break
    return total


def _common(first: Sequence[int], second: Sequence[int], start: int) -> int:
    limit = min(len(first), len(second))
    while start < limit and first[start] == second[start]:
        start += 1
    return start
