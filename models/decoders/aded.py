"""decoders/aded: draft from an adaptive table of trigrams, searched by Monte-Carlo tree search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Meter, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._speculation import Drafter, speculate
from harness.models.decoders._tree import Tree
from harness.models.decoders._verify import draw_then_match
from harness.models.decoders._warping import Warping

C1, C2 = 32.0, 8.0  # exploration constants of the release
KEPT = 24  # prefixes by visits that become draft paths
TOKENS = 64  # nodes of a draft tree at most
WINDOW = 16  # last tokens whose trigrams are strengthened each step
STEP, CEILING = 0.04, 3.0  # how much a trigram gains, and the most it can hold
SUCCESSORS = 12  # continuations kept for a pair of tokens
LENGTH = 4  # tokens of a drafted path


@decoder(
    lossless="law",
    needs=("tree",),
    paper="Liu et al. 2024, Adaptive Draft-Verification (ADED), arXiv:2407.12021",
    differs="no corpus table (a cold start, as for every other decoder here); the reward uses the weight of the "
    "token that was rolled out (the release looks up the previous word); the search is seeded; sampling "
    "draws one token of the target a node, which keeps its law",
)
class Aded:
    """A table (a, b) -> {c: weight} proposes; PUCT search picks which continuations are worth verifying.

    The search descends by Q/n + (c1 + ln((N + c2 + 1)/c2)) P sqrt(N)/(1 + n), expands all successors of a leaf, rolls
    out by weight to four tokens and backs up 1 + the sum of the weights on the way. The table starts from the
    prompt's own trigrams; with `adapt` the last 16 tokens' trigrams gain 0.04 (up to 3) at every step.
    Differs from the paper: no corpus table (a cold start, as for every other decoder here); the reward uses the weight
    of the token that was rolled out (the release looks up the previous word); the search is seeded; sampling draws one
    token of the target a node, which keeps its law.
    """

    adapt: bool = True
    iterations: int = 150
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise UsageError(f"aded: iterations={self.iterations}, but a search needs one or more.")

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt; greedy for temperature 0, else samples from the target's own law."""
        return speculate(
            lm,
            prompts,
            [
                Trigrams(self.adapt, self.iterations, seed, prompt.tokens)
                for prompt, seed in zip(prompts, seeds, strict=True)
            ],
            seeds=seeds,
            meter=meter,
            warping=Warping(self.temperature),
            rule=draw_then_match,
            width=TOKENS,
        )


@dataclass(slots=True)
class Node:
    """One prefix of the search tree."""

    token: int
    prior: float
    depth: int
    visits: int = 0
    value: float = 0.0
    children: list[Node] | None = None  # None until expanded


@final
@dataclass(slots=True)
class Trigrams(Drafter):
    """The table of one prompt, and the search over it."""

    adapt: bool
    iterations: int
    seed: int
    prompt: Sequence[int]
    table: dict[tuple[int, int], dict[int, float]] = field(default_factory=dict)
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.seed, 2])
        self._strengthen(self.prompt)

    def propose(self, tokens: Sequence[int], depth: int) -> Tree:
        """The most visited prefixes of a search from the last two tokens."""
        tree = Tree.rooted(tokens[-1])
        if self.adapt:
            self._strengthen(tokens[-WINDOW:])
        if depth < 1 or len(tokens) < 2 or (tokens[-2], tokens[-1]) not in self.table:
            return tree
        for path in self._paths(tokens[-2], tokens[-1]):
            below = 0
            for token in path[:depth]:
                if tree.drafted >= TOKENS:
                    return tree
                below = tree.add(below, token)
        return tree

    def _strengthen(self, tokens: Sequence[int]) -> None:
        for first, second, third in zip(tokens, tokens[1:], tokens[2:], strict=False):
            row = self.table.setdefault((first, second), {})
            row[third] = min(row.get(third, 0.0) + STEP, CEILING)
            if len(row) > SUCCESSORS:
                del row[min(row, key=row.__getitem__)]

    def _paths(self, first: int, second: int) -> list[tuple[int, ...]]:
        root = Node(second, 1.0, 0)
        for _ in range(self.iterations):
            self._descend(root, first)
        visited: list[tuple[int, tuple[int, ...]]] = []
        waiting: list[tuple[Node, tuple[int, ...]]] = [(root, ())]
        while waiting:
            node, path = waiting.pop()
            for child in node.children or ():
                if child.visits:
                    visited.append((child.visits, (*path, child.token)))
                    waiting.append((child, (*path, child.token)))
        visited.sort(key=lambda item: (-item[0], item[1]))
        return [self._prolonged(first, second, path) for _, path in visited[:KEPT]]

    def _prolonged(self, first: int, second: int, path: tuple[int, ...]) -> tuple[int, ...]:
        """A prefix with its likeliest successor."""
        text = (first, second, *path)
        row = self.table.get((text[-2], text[-1]))
        return (*path, max(row, key=row.__getitem__)) if row else path

    def _descend(self, root: Node, first: int) -> None:
        trail, text = [root], [first, root.token]
        node = root
        while node.children:
            node = _choose(node)
            trail.append(node)
            text.append(node.token)
        if node.children is None and node.depth < LENGTH:
            row = self.table.get((text[-2], text[-1]), {})
            total = sum(row.values())
            node.children = [Node(token, weight / total, node.depth + 1) for token, weight in row.items()]
        reward = 1.0 + self._rolled(text, node.depth)
        for passed in trail:
            passed.visits += 1
            passed.value += reward

    def _rolled(self, text: list[int], depth: int) -> float:
        """Sum of the weights along the path and a random continuation of it to four tokens."""
        gained = sum(self.table[text[i], text[i + 1]][text[i + 2]] for i in range(len(text) - 2))
        pair = (text[-2], text[-1])
        for _ in range(LENGTH - depth):
            row = self.table.get(pair)
            if not row:
                break
            rising = np.cumsum(list(row.values()))
            token = list(row)[min(int(np.searchsorted(rising, self.rng.random() * rising[-1])), len(row) - 1)]
            gained += row[token]
            pair = (pair[1], token)
        return gained


def _choose(node: Node) -> Node:
    """PUCT; children that were never visited come first, in the table's order."""
    scale = (C1 + math.log((node.visits + C2 + 1) / C2)) * math.sqrt(node.visits)
    best, found = -math.inf, None
    for child in node.children or ():
        if not child.visits:
            return child
        score = child.value / child.visits + scale * child.prior / (1 + child.visits)
        if score > best:
            best, found = score, child
    if found is None:
        raise AssertionError("a node without children has no best child")
    return found
