"""decoders/speculative: a cheaper model drafts a chain, the target verifies it in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._draft_model import load_draft
from harness.models.decoders._drafted_tree import ModelDrafter, Plan
from harness.models.decoders._speculation import speculate
from harness.models.decoders._verify import ChildRule, independent, without_replacement
from harness.models.decoders._warping import Warping


@decoder(
    lossless="law",
    needs=(),
    paper="Leviathan et al. 2023, arXiv:2211.17192; Chen et al. 2023, arXiv:2302.01318",
    differs="none",
)
class Speculative:
    """Accept draft token x with probability min(1, p(x)/q(x)); at the first refusal sample from norm(max(p - q, 0)).

    Expected acceptance a position is 1 - TV(p, q). `draft` is a model spec in parentheses, self:LAYERS (the target's
    own first layers) or ngram[:ORDER]. With `adaptive` the length grows by two after full acceptance and shrinks by
    one otherwise (HF's schedule), `length` being the most.
    Differs from the paper: none.
    """

    draft: str = "ngram"
    length: int = 4  # tokens
    adaptive: bool = False
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.length < 1:
            raise UsageError(f"speculative: length={self.length}, but a draft has one token or more.")

    def prepare(self, setting: Setting, target: Any) -> Bound:
        """Load the draft for a loaded target."""
        plan = Plan("constant", (1,) * self.length)
        warping = Warping(self.temperature, self.top_k, self.top_p)
        draft = load_draft(self.draft, setting, target)
        return Bound(draft.lm, plan, warping, self.adaptive, draft.share)

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The draft's own digests are part of the signature when it has weights of its own."""
        return draft_fingerprint(self.draft, setting)

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Only `prepare` knows the draft."""
        raise UsageError("speculative: call prepare(setting, target) first; it loads the draft.")


@final
@dataclass(frozen=True, slots=True)
class Bound:
    """A drafted-tree decoder with its draft model at hand."""

    draft: TokenModel
    plan: Plan
    warping: Warping
    adaptive: bool = False
    share: float = 0.0  # the draft's parameters over the target's

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt; the draft's vocabulary must be the target's."""
        if self.draft.vocabulary != lm.vocabulary:
            raise UsageError(f"the draft has {self.draft.vocabulary} tokens and the target {lm.vocabulary}.")
        width = self.plan.nodes
        drafters = [
            ModelDrafter(
                self.draft,
                self.plan,
                self.warping,
                seed,
                len(prompt.tokens) + max(0, prompt.max_new_tokens) + width + 1,
                meter,
                self.adaptive,
                self.share,
            )
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        rule: ChildRule = independent if self.plan.growth == "independent" else without_replacement
        return speculate(lm, prompts, drafters, seeds=seeds, meter=meter, warping=self.warping, rule=rule, width=width)


def draft_fingerprint(draft: str, setting: Setting) -> Mapping[str, str]:
    """Digests of a draft that is a model of its own; nothing for self:LAYERS and ngram."""
    from harness.api import registry

    if draft.partition(":")[0] in ("self", "ngram"):
        return {}
    found = registry.create("model", draft).fingerprint(setting)
    return {f"draft.{key}": value for key, value in found.items()}
