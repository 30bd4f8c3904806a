"""decoders/token_recycling: draft from the candidates that the target itself gave for each token earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter, Setting, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._inner_meter import InnerMeter
from harness.models.decoders._likeliest import candidates
from harness.models.decoders._rank_tree import RankTree, best_tree, chain, recycling_tree
from harness.models.decoders._speculation import Drafter, speculate
from harness.models.decoders._tree import Tree
from harness.models.decoders._verify import Verdict, draw_then_match
from harness.models.decoders._warping import Warping

# V vocabulary, K candidates a token, N nodes
CANDIDATES = 8  # the paper's k
# How often in a thousand the target's next token is the candidate of rank r; it orders the nodes of a tree=best.
# A guess: `harness tune` measures it on a model and its prompts.
RANK_HITS = (360, 140, 80, 50, 40, 30, 20, 20)


@decoder(
    lossless="law",
    needs=("tree",),
    carries="start=hot",
    paper="Luo et al. 2024, Token Recycling, arXiv:2408.08696",
    differs="empty rows are not drafted from (the release drafts token 0), a path ends at the limit, and sampling "
    "draws one token of the target a node, which keeps its law",
)
class TokenRecycling:
    """A matrix M [V, 8] holds each token's last top-8 successors; a static tree is read off it breadth-first.

    M[t] <- top-8 of the target's logits at every verified node t, accepted or not; where a token occurs at several
    nodes the later node wins. `start`: "cold" begins each prompt with an empty matrix, "prompt" also fills it from
    the logits of the prompt itself, "hot" also keeps it from prompt to prompt, one prompt after the other, from the
    first to the last of a run.
    Differs from the paper: empty rows are not drafted from (the release drafts token 0), a path ends at the limit, and
    sampling draws one token of the target a node, which keeps its law.
    """

    start: Literal["cold", "prompt", "hot"] = "prompt"
    tree: Literal["paper", "chain", "best"] = "paper"
    nodes: int = 0  # of a "chain" or a "best" tree
    hits: tuple[int, ...] = RANK_HITS  # in a thousand, by rank
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if (self.tree == "paper") != (self.nodes == 0):
            raise UsageError("token_recycling: give nodes=N with tree=chain or tree=best, and only there.")
        if not 1 <= len(self.hits) <= CANDIDATES or min(self.hits) < 1:
            raise UsageError(f"token_recycling: hits={self.hits}; give 1 to {CANDIDATES} numbers of 1 or more.")

    def prepare(self, setting: Setting, target: Any) -> Decoder:
        """A hot start's matrix, which belongs to the run that this is called for."""
        return Hot(self) if self.start == "hot" else self

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """No other model."""
        return {}

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt; greedy for temperature 0, else samples from the target's own law."""
        if self.start == "hot":
            return Hot(self).decode(lm, prompts, seeds=seeds, meter=meter)
        shape = self.shape()
        drafters = [Recycling(_empty(lm.vocabulary), shape, self.start == "prompt") for _ in prompts]
        return self.run(lm, prompts, drafters, seeds, meter)

    def run(
        self,
        lm: TokenModel,
        prompts: Sequence[Prompt],
        drafters: Sequence[Recycling],
        seeds: Sequence[int],
        meter: Meter,
    ) -> list[Decoded]:
        """Draft each prompt from a matrix, and verify."""
        return speculate(
            lm,
            prompts,
            drafters,
            seeds=seeds,
            meter=meter,
            warping=Warping(self.temperature),
            rule=draw_then_match,
            width=self.shape().nodes,
        )

    def shape(self) -> RankTree:
        """The static tree."""
        if self.tree == "paper":
            return recycling_tree()
        return chain(self.nodes) if self.tree == "chain" else best_tree([hit / 1000 for hit in self.hits], self.nodes)


@final
@dataclass(slots=True)
class Hot:
    """A hot start with the matrix that it carries from prompt to prompt; empty before the first."""

    method: TokenRecycling
    matrix_VK: NDArray[np.int32] | None = None

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt after the one before it, so that what it drafts from does not depend on its batch."""
        found: list[Decoded] = []
        if self.matrix_VK is None:
            self.matrix_VK = _empty(lm.vocabulary)
        for index, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            drafter = Recycling(self.matrix_VK, self.method.shape(), True)
            found += self.method.run(lm, [prompt], [drafter], [seed], InnerMeter(meter, index))
        return found


@final
class Recycling(Drafter):
    """One matrix and one static tree."""

    def __init__(self, matrix_VK: NDArray[np.int32], shape: RankTree, reads_prompt: bool) -> None:
        self.matrix_VK, self.shape, self.reads_prompt = matrix_VK, shape, reads_prompt
        # along the accepted path: how often a token had candidates, and which of them came next
        self.ranks = {"ranked": 0.0} | {f"rank{rank}": 0.0 for rank in range(CANDIDATES)}
        self.notes = self.ranks

    def propose(self, tokens: Sequence[int], depth: int) -> Tree:
        """Fill the static tree from the matrix; a branch ends where the matrix knows nothing."""
        tree = Tree.rooted(tokens[-1])
        placed = [0] + [-1] * self.shape.nodes
        rows: dict[int, list[int]] = {}
        for node, (parent, rank, level) in enumerate(
            zip(self.shape.parents, self.shape.ranks, self.shape.depths, strict=True), start=1
        ):
            above = placed[parent]
            if above < 0 or level > depth:
                continue
            token = tree.tokens[above]
            if token not in rows:
                rows[token] = self.matrix_VK[token].tolist()
            if rows[token][rank] >= 0:
                placed[node] = tree.add(above, rows[token][rank], merge=False)
        return tree

    def read_prompt(self, tokens: Sequence[int], logits_TV: Tensor) -> None:
        """Seed the matrix from the prompt."""
        self._update(tokens, logits_TV)

    def observe(self, tree: Tree, logits_NV: Tensor, verdict: Verdict) -> None:
        """Learn from every node, accepted or not."""
        said = [tree.tokens[node] for node in verdict.path] + [verdict.bonus]
        for token, following in pairwise(said):
            row = self.matrix_VK[token].tolist()
            if row[0] >= 0:
                self.ranks["ranked"] += 1
                if following in row:
                    self.ranks[f"rank{row.index(following)}"] += 1
        self._update(tree.tokens, logits_NV)

    def _update(self, tokens: Sequence[int], logits_NV: Tensor) -> None:
        best = candidates(logits_NV, CANDIDATES).cpu().numpy()
        # a plain assignment with repeated rows keeps the last one, on every machine alike
        for token, row in zip(tokens, best, strict=True):
            self.matrix_VK[token, : len(row)] = row


def _empty(vocabulary: int) -> NDArray[np.int32]:
    return np.full((vocabulary, CANDIDATES), -1, dtype=np.int32)
