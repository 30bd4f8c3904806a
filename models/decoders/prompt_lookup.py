"""decoders/prompt_lookup: draft by copying what followed the same n-gram earlier in the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

from harness.api.protocols import Meter, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._speculation import Drafter, speculate
from harness.models.decoders._tree import Tree
from harness.models.decoders._verify import draw_then_match
from harness.models.decoders._warping import Warping


@decoder(
    lossless="law",
    needs=(),
    paper="Saxena 2023, prompt lookup decoding; Yang et al. 2023, arXiv:2304.04487",
    differs="an occurrence close to the end is copied as far as it goes, as in HF transformers; the release "
    "passes over those with fewer than `draft` tokens behind them",
)
class PromptLookup:
    """Look up the last n tokens (longest n first) earlier in prompt and output, and draft what followed there.

    No training, no second model. Where nothing is found nothing is drafted, and the step is a plain one. `match` says
    which of several occurrences is copied: the first, as published, or the latest.
    Differs from the paper: an occurrence close to the end is copied as far as it goes, as in HF transformers; the
    release passes over those with fewer than `draft` tokens behind them.
    """

    ngram: int = 3  # longest n-gram looked up (2 in HF transformers; 3 in Spec-Bench)
    draft: int = 10  # tokens copied at most (10 in Spec-Bench)
    match: Literal["first", "latest"] = "first"
    temperature: float = 0.0

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt; greedy for temperature 0, else samples from the target's own law."""
        return speculate(
            lm,
            prompts,
            [Copying(self.ngram, self.draft, self.match == "latest") for _ in prompts],
            seeds=seeds,
            meter=meter,
            warping=Warping(self.temperature),
            rule=draw_then_match,
            width=self.draft,
        )


@final
class Copying(Drafter):
    """An index from every n-gram to the place after its first (or latest) occurrence, grown as the text grows."""

    def __init__(self, ngram: int, draft: int, latest: bool = False) -> None:
        self.ngram, self.draft, self.latest = ngram, draft, latest
        self.after: dict[tuple[int, ...], int] = {}
        self.indexed = 0  # n-grams that end before this position are in the index

    def propose(self, tokens: Sequence[int], depth: int) -> Tree:
        """A chain of copied tokens below the pending one."""
        tree = Tree.rooted(tokens[-1])
        for end in range(self.indexed + 1, len(tokens)):
            for size in range(1, min(self.ngram, end) + 1):
                ngram = tuple(tokens[end - size : end])
                if self.latest or ngram not in self.after:
                    self.after[ngram] = end
        self.indexed = max(self.indexed, len(tokens) - 1)
        for size in range(min(self.ngram, len(tokens)), 0, -1):
            place = self.after.get(tuple(tokens[-size:]))
            if place is not None:
                tree.add_chain(tokens[place : place + min(self.draft, depth)])
                break
        return tree
