"""How is a tree of draft tokens written down? Tokens with parents, the root being the last token that is certain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tree:
    """Draft tokens in topological order. Node 0 is the pending token: certain, but not yet in the cache.

    `tokens[i]` hangs below node `parents[i]`; the root's parent is -1. Children keep their order of insertion,
    which for drawn children is the order of the draw.
    """

    tokens: list[int]
    parents: list[int] = field(default_factory=lambda: [-1])
    children: list[list[int]] = field(default_factory=lambda: [[]])

    @staticmethod
    def rooted(token: int) -> Tree:
        """A tree of the pending token alone."""
        return Tree([token])

    def add(self, parent: int, token: int, merge: bool = True) -> int:
        """Hang a token below a node and return its index; an equal sibling is reused unless `merge` is off."""
        if merge:
            for child in self.children[parent]:
                if self.tokens[child] == token:
                    return child
        self.tokens.append(token)
        self.parents.append(parent)
        self.children[parent].append(len(self.tokens) - 1)
        self.children.append([])
        return len(self.tokens) - 1

    def add_chain(self, tokens: Sequence[int], below: int = 0) -> None:
        """Hang a path of tokens below a node."""
        for token in tokens:
            below = self.add(below, token)

    def path(self, node: int) -> list[int]:
        """Node indices from the root to `node`."""
        found = []
        while node >= 0:
            found.append(node)
            node = self.parents[node]
        return found[::-1]

    @property
    def drafted(self) -> int:
        """Nodes below the root."""
        return len(self.tokens) - 1
