"""Where does a model-based draft come from? A second model, the target's own first layers, or an n-gram count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting, TokenModel
from harness.api.types import Step, Want
from harness.models.decoders._tree import Tree

# N nodes, V vocabulary
Counts = dict[tuple[int, ...], dict[int, int]]
LAST = Want()


@runtime_checkable
class Truncatable(Protocol):
    """A token model that can run its first layers alone."""

    def first_layers(self, layers: int) -> TokenModel:
        """The same embedding, `layers` layers, the same final norm and head."""
        ...


def load_draft(spec: str, setting: Setting, target: Any) -> TokenModel:
    """The token model that `spec` names for a loaded target.

    "self:N" is the target's first N layers, "ngram" or "ngram:N" counts n-grams of the text as it grows, and anything
    else is a registered model with the target's own tokenizer. Raises UsageError with the reason otherwise.
    """
    name, _, argument = spec.partition(":")
    if name == "self":
        if not isinstance(target.lm, Truncatable) or not argument.isdigit():
            raise UsageError(f"draft={spec!r}: write self:LAYERS, for a model that the built-in runtime runs.")
        return target.lm.first_layers(int(argument))
    if name == "ngram":
        return OnlineNgram(target.lm, int(argument or 3))
    draft = registry.create("model", spec).load(setting)
    require_same_tokenizer(spec, target.tokenizer, draft.tokenizer)
    model: TokenModel = draft.lm
    return model


def require_same_tokenizer(spec: str, ours: Any, theirs: Any) -> None:
    """UsageError unless both turn a probe text and a sample of ids into the same thing."""
    probe = "The passkey is 71432. Füße, naïve: x = [y**2]\n\n\t東京 🙂"
    sample = range(0, ours.vocabulary, 97)
    same = (
        ours.vocabulary == theirs.vocabulary
        and ours.encode(probe) == theirs.encode(probe)
        and all(ours.decode([token]) == theirs.decode([token]) for token in sample)
    )
    if not same:
        raise UsageError(
            f"{spec!r} has another tokenizer than the target ({theirs.vocabulary} tokens against {ours.vocabulary}), "
            "so its tokens mean something else. Use a model of the same family, self:LAYERS or ngram."
        )


@final
class DraftCache:
    """One prompt's cache in the draft model, kept in step with the text that the target accepted."""

    def __init__(self, model: TokenModel, capacity: int) -> None:
        self.model, self.capacity = model, capacity
        self.state: Any = None
        self.cached: list[int] = []

    def logits(self, tokens: Sequence[int], tree: Tree, meter: Meter) -> Tensor:
        """Draft logits [N, V] after every node of a tree rooted at tokens[-1]."""
        self._reach(tokens[:-1], meter)
        chain = tree.parents == list(range(-1, tree.drafted))
        step = self.model.step(self.state, [tree.tokens], Want("all"), None if chain else [tree.parents])
        meter.count("draft_calls")
        self.state = self.model.rewind(step.state, [len(self.cached)])
        return step.logits[0]  # type: ignore[no-any-return]

    def forget(self) -> None:
        """Start over, after a step that failed half-way."""
        self.state, self.cached = None, []

    def _reach(self, tokens: Sequence[int], meter: Meter) -> None:
        if self.state is None:
            self.state = self.model.start(1, self.capacity)
        same = 0
        for old, new in zip(self.cached, tokens, strict=False):
            if old != new:
                break
            same += 1
        if same < len(self.cached):
            self.state = self.model.rewind(self.state, [same])
        if same < len(tokens):
            self.state = self.model.step(self.state, [list(tokens[same:])], Want("none")).state
            meter.count("draft_calls")
        self.cached = list(tokens)


@dataclass(frozen=True, slots=True)
class NgramText:
    """A text and how often each token followed each of its n-grams."""

    tokens: tuple[int, ...]


@final
class OnlineNgram:
    """An n-gram model of one prompt's own text: the longest context seen before decides (stupid back-off).

    Counts only ever grow with the text, so they are kept in one table that the latest text extends.
    Paper of the back-off: Brants et al. 2007 (factor 0.4 a shorter context).
    """

    def __init__(self, target: TokenModel, order: int) -> None:
        if order < 2:
            raise UsageError(f"draft=ngram:{order}: an n-gram draft needs an order of 2 or more.")
        self.vocabulary, self.eos, self.context_length = target.vocabulary, target.eos, target.context_length
        self.order = order

    def start(self, rows: int, capacity: int) -> NgramText:
        """One empty row (a draft cache drafts for one prompt)."""
        return NgramText(())

    def length(self, state: NgramText) -> list[int]:
        """Tokens read."""
        return [len(state.tokens)]

    def rewind(self, state: NgramText, lengths: Sequence[int]) -> NgramText:
        """Cut the text."""
        return NgramText(state.tokens[: lengths[0]])

    def keep_path(self, state: NgramText, paths: Sequence[Sequence[int]]) -> NgramText:
        """A draft cache rewinds instead."""
        raise NotImplementedError("an n-gram draft keeps no tree.")

    def select(self, state: NgramText, rows: Sequence[int]) -> NgramText:
        """There is one row."""
        return state

    def step(
        self,
        state: NgramText,
        tokens: Sequence[Sequence[int]],
        want: Want = LAST,
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        """Logits after every new token, from the counts of the text before the step and its first token."""
        new = tuple(tokens[0])
        after = NgramText(state.tokens + new)
        if want.logits == "none":
            return Step(after)
        above = parents[0] if parents else range(-1, len(new) - 1)
        counts = ngram_counts(state.tokens + new[:1], self.order)
        logits = torch.stack(
            [self._logits(state.tokens, _ancestry(new, above, node), counts) for node in range(len(new))]
        )
        return Step(after, logits[None] if want.logits == "all" else logits[None, -1:])

    def _logits(self, text: tuple[int, ...], path: tuple[int, ...], counts: Counts) -> Tensor:
        row = torch.full((self.vocabulary,), -30.0)
        context = text[-self.order :] + path
        for size in range(1, self.order):
            found = counts.get(context[-size:], {})
            total = sum(found.values())
            for token, count in found.items():
                row[token] = math.log(count / total) + (size - self.order + 1) * math.log(1 / 0.4)
        return row


def ngram_counts(text: tuple[int, ...], order: int) -> Counts:
    """How often each token followed each context of 1..order-1 tokens."""
    counts: Counts = {}
    for end in range(1, len(text)):
        for size in range(1, min(order, end + 1)):
            row = counts.setdefault(text[end - size : end], {})
            row[text[end]] = row.get(text[end], 0) + 1
    return counts


def _ancestry(tokens: Sequence[int], above: Sequence[int], node: int) -> tuple[int, ...]:
    path: list[int] = []
    while node >= 0:
        path.append(tokens[node])
        node = above[node]
    return tuple(path[::-1])
