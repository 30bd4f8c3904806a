"""How do draft-and-verify methods run? One loop: draft a tree, score it in one target call, keep the accepted path.

Every such decoder is a `Drafter` under this loop, so that tokens, calls and accepted lengths are counted alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from harness.api.protocols import Meter, TokenModel
from harness.api.types import Decoded, Prompt, Want
from harness.models.decoders._likeliest import likeliest
from harness.models.decoders._tree import Tree
from harness.models.decoders._verify import ChildRule, Law, Verdict, verify_greedy, verify_sampling
from harness.models.decoders._warping import Warping

# N nodes of a tree, V vocabulary


class Drafter(ABC):
    """What one prompt's drafting needs; a fresh one for every prompt."""

    reads_prompt: bool = False  # wants the target's logits at every prompt token
    draft_calls: int = 0  # calls of a draft model so far
    draft_share: float = 0.0  # a draft call's weights over the target's
    notes: Mapping[str, float] = {}  # what else it can tell of its prompt at the end

    @abstractmethod
    def propose(self, tokens: Sequence[int], depth: int) -> Tree:
        """A tree rooted at tokens[-1], at most `depth` levels below it; `tokens` are prompt and output so far."""

    def law(self, node: int) -> Law | None:
        """The draft's law of the children of `node` in the last tree; None for children proposed without chance."""
        return None

    def read_prompt(self, tokens: Sequence[int], logits_TV: Tensor) -> None:  # noqa: B027 (most need neither)
        """See the target's logits after each prompt token (all but the pending last one)."""

    def observe(self, tree: Tree, logits_NV: Tensor, verdict: Verdict) -> None:  # noqa: B027
        """See what the target said at every node and which path it kept."""


@dataclass(slots=True)
class Row:
    """One prompt under way."""

    prompt: Prompt
    drafter: Drafter
    rng: np.random.Generator
    limit: int  # new tokens
    tokens: list[int]
    emitted: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    drafted: int = 0
    finished: str = ""


def speculate(
    lm: TokenModel,
    prompts: Sequence[Prompt],
    drafters: Sequence[Drafter],
    *,
    seeds: Sequence[int],
    meter: Meter,
    warping: Warping,
    rule: ChildRule,
    width: int,
) -> list[Decoded]:
    """Decode every prompt. `width` bounds a tree's nodes; temperature 0 verifies greedily, else by `rule`."""
    rows = [
        Row(prompt, drafter, np.random.default_rng(seed), room(lm, prompt), list(prompt.tokens))
        for prompt, drafter, seed in zip(prompts, drafters, seeds, strict=True)
    ]
    for row in rows:
        row.finished = "" if row.limit > 0 else "length"
    capacity = max((len(row.tokens) + max(0, row.limit) + width + 1 for row in rows), default=1)
    state = _prefill(lm, rows, capacity, meter)
    while any(not row.finished for row in rows):
        with meter.span("draft"):
            trees = [_draft(row) for row in rows]
        with meter.span("decode"):
            chains = all(tree is None or tree.parents == list(range(-1, tree.drafted)) for tree in trees)
            nodes = [tree.tokens if tree else [] for tree in trees]
            parents = None if chains else [tree.parents if tree else [] for tree in trees]
            step = lm.step(state, nodes, Want("all"), parents)
            meter.count("model_calls")
        paths: list[tuple[int, ...]] = []
        for index, (row, tree) in enumerate(zip(rows, trees, strict=True)):
            paths.append(_settle(index, row, tree, step.logits[index], lm, warping, rule, meter) if tree else ())
        state = lm.keep_path(step.state, paths)
    return [_decoded(row) for row in rows]


def room(lm: TokenModel, prompt: Prompt) -> int:
    """New tokens that fit both the prompt's limit and the context."""
    return min(prompt.max_new_tokens, lm.context_length - len(prompt.tokens))


def accept(row: Row, tokens: Sequence[int], eos: frozenset[int]) -> int:
    """Append tokens one by one until an end; return how many counted (an EOS counts but is not emitted)."""
    for count, token in enumerate(tokens, start=1):
        if token in eos:
            row.finished = "eos"
            return count
        row.emitted.append(token)
        row.tokens.append(token)
        if row.prompt.finished is not None and row.prompt.finished(row.emitted):
            row.finished = "stop"
            return count
        if len(row.emitted) >= row.limit:
            row.finished = "length"
            return count
    return len(tokens)


def _prefill(lm: TokenModel, rows: Sequence[Row], capacity: int, meter: Meter) -> Any:
    state = lm.start(len(rows), capacity)
    heads = [row.tokens[:-1] if not row.finished else [] for row in rows]
    if not any(heads):
        return state
    reading = any(row.drafter.reads_prompt for row in rows)
    with meter.span("prefill", sum(map(len, heads))):
        step = lm.step(state, heads, Want("all" if reading else "none"))
        meter.count("model_calls")
    for index, row in enumerate(rows):
        if row.drafter.reads_prompt and heads[index]:
            row.drafter.read_prompt(heads[index], step.logits[index, : len(heads[index])])
    return step.state


def _draft(row: Row) -> Tree | None:
    if row.finished:
        return None
    # the target always adds one token of its own, so a longer path could never be emitted
    tree = row.drafter.propose(row.tokens, row.limit - len(row.emitted) - 1)
    row.drafted += tree.drafted
    return tree


def _settle(
    index: int, row: Row, tree: Tree, logits_NV: Tensor, lm: TokenModel, warping: Warping, rule: ChildRule, meter: Meter
) -> tuple[int, ...]:
    logits_NV = logits_NV[: len(tree.tokens)]
    verdict = _verdict(row, tree, logits_NV, warping, rule)
    row.drafter.observe(tree, logits_NV, verdict)
    count = accept(row, [*(tree.tokens[node] for node in verdict.path[1:]), verdict.bonus], lm.eos)
    row.accepted.append(count)
    meter.emitted(index, count)
    return verdict.path


def _verdict(row: Row, tree: Tree, logits_NV: Tensor, warping: Warping, rule: ChildRule) -> Verdict:
    if warping.temperature == 0:
        return verify_greedy(tree, likeliest(logits_NV))
    laws: dict[int, Law] = {}

    def target(node: int) -> Law:
        if node not in laws:
            laws[node] = warping(logits_NV[node]).cpu().numpy()
        return laws[node]

    return verify_sampling(tree, target, row.drafter.law, rule, row.rng)


def _decoded(row: Row) -> Decoded:
    return Decoded(
        tokens=tuple(row.emitted),
        accepted=tuple(row.accepted),
        calls=len(row.accepted),
        drafted=row.drafted,
        finished=row.finished,
        extra={"draft_calls": row.drafter.draft_calls, "draft_share": row.drafter.draft_share, **row.drafter.notes},
    )
