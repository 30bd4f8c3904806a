"""Where does a model-based draft come from? A second model, the target's own first layers, or an n-gram count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
LAST = Want()
UNSEEN = -30.0  # logit of a token that followed no context


@runtime_checkable
class Truncatable(Protocol):
    """A token model that can run its first layers alone."""

    def first_layers(self, layers: int) -> TokenModel:
        """The same embedding, `layers` layers, the same final norm and head."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft model and what it costs."""

    lm: TokenModel
    share: float = 0.0  # its parameters over the target's; 0 for a draft without weights


def load_draft(spec: str, setting: Setting, target: Any) -> Draft:
    """The draft that `spec` names for a loaded target.

    "self:N" is the target's first N layers, "ngram" or "ngram:N" counts n-grams of the text as it grows, and anything
    else is a registered model with the target's own tokenizer. Raises UsageError with the reason otherwise.
    """
    name, _, argument = spec.partition(":")
    if name == "self":
        if not isinstance(target.lm, Truncatable) or not argument.isdigit():
            raise UsageError(f"draft={spec!r}: write self:LAYERS, for a model that the built-in runtime runs.")
        return Draft(target.lm.first_layers(int(argument)), _share_of_layers(target, int(argument)))
    if name == "ngram":
        return Draft(OnlineNgram(target.lm, int(argument or 3)))
    draft = load_beside(spec, setting, target)
    ours, theirs = _parameters(target), _parameters(draft)
    return Draft(draft.lm, theirs / ours if ours else 0.0)


def load_beside(spec: str, setting: Setting, target: Any) -> Any:
    """A second model for a loaded target, with the same tokenizer.

    Errors: UsageError with the reason when it cannot stand beside the target.
    """
    made = registry.create("model", spec)
    if not hasattr(made, "load"):
        raise UsageError(
            f"{spec!r} is trained on a task's own split, which a decoder cannot do; seq2seq/ensemble trains several "
            "and averages or rescores."
        )
    loaded = made.load(setting)
    if not hasattr(loaded, "lm") or not hasattr(target, "tokenizer"):
        raise UsageError(f"{spec!r} and the target do not both continue a text, so they cannot share prompts.")
    require_same_tokenizer(spec, target.tokenizer, loaded.tokenizer)
    return loaded


def _parameters(loaded: Any) -> int:
    facts: Mapping[str, Any] = getattr(loaded, "facts", {})
    return int(facts.get("parameters", 0))


def _share_of_layers(target: Any, layers: int) -> float:
    """Parameters of the first layers, embedding and head over those of all; layers are alike."""
    whole, shape = _parameters(target), target.lm.network.shape
    if not whole:
        return 0.0
    attention = 2 * shape.width * shape.head_width * (shape.heads + shape.kv_heads)
    layer = attention + 3 * shape.width * shape.hidden + 2 * shape.width
    return 1 - layer * (shape.layers - layers) / whole


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
        self.calls = 0

    def logits(self, tokens: Sequence[int], tree: Tree, nodes: Sequence[int], meter: Meter) -> Tensor:
        """Draft logits [len(nodes), V] after the given nodes of a tree rooted at tokens[-1]."""
        self._count(meter)
        if tree.parents == list(range(-1, tree.drafted)) and list(nodes) == [tree.drafted]:
            # a chain is read as text: a call adds its last token alone, and what the target accepts is cached already
            text = [*tokens[:-1], *tree.tokens]
            self._cut(text[:-1])
            step = self.model.step(self.state, [text[len(self.cached) :]], LAST)
            self.state, self.cached = step.state, text
        else:
            self._read(list(tokens[:-1]), meter)
            step = self.model.step(self.state, [tree.tokens], Want(tuple(nodes)), [tree.parents])
            self.state = self.model.rewind(step.state, [len(self.cached)])
        return step.logits[0]  # type: ignore[no-any-return]

    def forget(self) -> None:
        """Start over, after a step that failed half-way."""
        self.state, self.cached = None, []

    def _read(self, tokens: list[int], meter: Meter) -> None:
        self._cut(tokens)
        if len(self.cached) < len(tokens):
            self.state = self.model.step(self.state, [list(tokens[len(self.cached) :])], Want("none")).state
            self._count(meter)
        self.cached = list(tokens)

    def _count(self, meter: Meter) -> None:
        self.calls += 1
        meter.count("draft_calls")

    def _cut(self, tokens: list[int]) -> None:
        """Keep what the cache and the text begin with alike."""
        if self.state is None:
            self.state = self.model.start(1, self.capacity)
        if self.cached != tokens[: len(self.cached)]:
            same = _common(self.cached, tokens)
            self.state = self.model.rewind(self.state, [same])
            self.cached = self.cached[:same]


@final
class NgramText:
    """A text and how often each token followed each of its contexts of 1..order-1 tokens; grows and shrinks."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.tokens: list[int] = []
        self.after: dict[tuple[int, ...], dict[int, int]] = {}

    def append(self, token: int) -> None:
        """Read one token."""
        for context in self._contexts():
            row = self.after.setdefault(context, {})
            row[token] = row.get(token, 0) + 1
        self.tokens.append(token)

    def cut(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        while len(self.tokens) > length:
            token = self.tokens.pop()
            for context in self._contexts():
                row = self.after[context]
                row[token] -= 1
                if not row[token]:
                    del row[token]

    def _contexts(self) -> list[tuple[int, ...]]:
        return [tuple(self.tokens[-size:]) for size in range(1, min(self.order - 1, len(self.tokens)) + 1)]


@final
class OnlineNgram:
    """An n-gram model of one prompt's own text: the longest context seen before decides (stupid back-off).

    A token is counted when it is read and taken back when it is rewound, so that a step costs what is new.
    Paper of the back-off: Brants et al. 2007 (factor 0.4 a shorter context).
    """

    def __init__(self, target: TokenModel, order: int) -> None:
        if order < 2:
            raise UsageError(f"draft=ngram:{order}: an n-gram draft needs an order of 2 or more.")
        self.vocabulary, self.eos, self.context_length = target.vocabulary, target.eos, target.context_length
        self.order = order

    def start(self, rows: int, capacity: int) -> NgramText:
        """One empty row (a draft cache drafts for one prompt)."""
        return NgramText(self.order)

    def length(self, state: NgramText) -> list[int]:
        """Tokens read."""
        return [len(state.tokens)]

    def rewind(self, state: NgramText, lengths: Sequence[int]) -> NgramText:
        """Cut the text."""
        state.cut(lengths[0])
        return state

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
        """Logits after the new tokens; a tree's nodes share the counts of the text that its root ends."""
        new = tokens[0]
        wanted = _places(want, len(new))
        if parents is None:
            rows = {}
            for place, token in enumerate(new):
                state.append(token)
                if place in wanted:
                    rows[place] = self._logits(state, state.tokens)
        else:
            before = tuple(state.tokens[-self.order :])
            state.append(new[0])
            rows = {node: self._logits(state, (*before, *_ancestry(new, parents[0], node))) for node in wanted}
            for token in new[1:]:
                state.append(token)
        return Step(state, torch.stack([rows[place] for place in wanted])[None] if wanted else None)

    def _logits(self, text: NgramText, context: Sequence[int]) -> Tensor:
        found: dict[int, float] = {}
        for size in range(1, min(self.order - 1, len(context)) + 1):
            followers = text.after.get(tuple(context[-size:]), {})
            total = sum(followers.values())
            # the longest context is read last and overrules
            discount = (self.order - 1 - size) * math.log(0.4)
            found |= {token: math.log(count / total) + discount for token, count in followers.items()}
        row = torch.full((self.vocabulary,), UNSEEN)
        if found:
            row[torch.tensor(list(found))] = torch.tensor(list(found.values()))
        return row


def _common(left: list[int], right: list[int]) -> int:
    """How many tokens both begin with; halving compares whole slices, which is faster than token by token."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _places(want: Want, count: int) -> list[int]:
    if isinstance(want.logits, str):
        return {"none": [], "last": [count - 1], "all": list(range(count))}[want.logits]
    return list(want.logits)


def _ancestry(tokens: Sequence[int], above: Sequence[int], node: int) -> tuple[int, ...]:
    path: list[int] = []
    while node >= 0:
        path.append(tokens[node])
        node = above[node]
    return tuple(path[::-1])
