"""Which draft tokens does the target accept? The greedy rule and the sampling rules that keep the target's law.

All laws here are vectors [V] of float64 probabilities, after temperature and truncation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.models.decoders._tree import Tree

# V vocabulary
Law = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The accepted nodes, root first, and the target's own next token after the last of them."""

    path: tuple[int, ...]
    bonus: int


class ChildRule(Protocol):
    """Decides between the children of one node and the target's own draw."""

    def __call__(
        self, target: Law, children: Sequence[int], draft: Law | None, rng: np.random.Generator
    ) -> tuple[int | None, int]:
        """Position of the accepted child (or None) and the token emitted."""
        ...


def verify_greedy(tree: Tree, best: Sequence[int]) -> Verdict:
    """Follow the target's arg-max `best[node]` for as long as a child carries it."""
    path = [0]
    while True:
        node = path[-1]
        match = next((child for child in tree.children[node] if tree.tokens[child] == best[node]), None)
        if match is None:
            return Verdict(tuple(path), int(best[node]))
        path.append(match)


def verify_sampling(
    tree: Tree,
    target: Callable[[int], Law],
    draft: Callable[[int], Law | None],
    rule: ChildRule,
    rng: np.random.Generator,
) -> Verdict:
    """Walk down from the root, each time letting `rule` choose a child or emit a token of the target.

    `target(node)` and `draft(node)` are the laws of the token after that node; a draft law of None stands for
    children that were proposed without chance (each a point mass).
    """
    path = [0]
    while True:
        node = path[-1]
        children = tree.children[node]
        chosen, token = rule(target(node), [tree.tokens[child] for child in children], draft(node), rng)
        if chosen is None:
            return Verdict(tuple(path), token)
        path.append(children[chosen])


def without_replacement(
    target: Law, children: Sequence[int], draft: Law | None, rng: np.random.Generator
) -> tuple[int | None, int]:
    """Recursive rejection sampling for children drawn without replacement, in the order of their draw.

    Accept child c with probability min(1, P[c] / Q[c]); otherwise P <- norm(max(P - Q, 0)), Q[c] <- 0, Q <- norm(Q).
    With a point-mass draft Q this accepts c with probability P[c] and then removes it from P.
    Papers: Leviathan et al. 2023, arXiv:2211.17192 (one child); Jeon et al. 2024, arXiv:2402.14160.
    """
    p = target
    q = draft
    for position, token in enumerate(children):
        if q is None:
            accepted = rng.random() < p[token]
        else:
            # a child outside the (exhausted) draft support can only come from rounding: treat it as a point mass
            accepted = rng.random() * q[token] < p[token] if q[token] > 0 else rng.random() < p[token]
        if accepted:
            return position, token
        point = q is None or q[token] <= 0
        residual = _without(p, token) if point else np.maximum(p - q, 0.0)  # type: ignore[operator]
        p = _normalised(residual, fallback=p)
        if q is not None:
            q = _without(q, token)
            total = q.sum()
            q = q / total if total > 0 else None
    return None, draw(p, rng)


def independent(
    target: Law, children: Sequence[int], draft: Law | None, rng: np.random.Generator
) -> tuple[int | None, int]:
    """Recursive rejection sampling for children drawn independently (with replacement), the SpecTr-like baseline."""
    if draft is None:
        return without_replacement(target, children, None, rng)
    p = target
    for position, token in enumerate(children):
        if rng.random() * draft[token] < p[token]:
            return position, token
        p = _normalised(np.maximum(p - draft, 0.0), fallback=p)
    return None, draw(p, rng)


def draw_then_match(
    target: Law, children: Sequence[int], draft: Law | None, rng: np.random.Generator
) -> tuple[int | None, int]:
    """Draw one token from the target; a child that carries it is accepted, and it is emitted either way.

    Exact whenever the children do not depend on the draw, whatever made them.
    """
    token = draw(target, rng)
    return (children.index(token) if token in children else None), token


def draw(law: Law, rng: np.random.Generator) -> int:
    """One token by inversion, so that equal laws and equal random numbers give equal tokens."""
    total = np.cumsum(law)
    return int(min(np.searchsorted(total, rng.random() * total[-1], side="right"), np.flatnonzero(law)[-1]))


def _without(law: Law, token: int) -> Law:
    copy = law.copy()
    copy[token] = 0.0
    return copy


def _normalised(law: Law, fallback: Law) -> Law:
    total = law.sum()
    # a residual without mass can only arise from rounding, when target and draft agree to the last bit
    return law / total if total > 0 else fallback
