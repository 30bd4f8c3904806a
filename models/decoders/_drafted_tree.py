"""How does a draft model grow a tree? Level by level, by one of four ways of choosing the children of a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api.protocols import Meter, TokenModel
from harness.models.decoders._draft_model import DraftCache
from harness.models.decoders._likeliest import likeliest
from harness.models.decoders._speculation import Drafter
from harness.models.decoders._tree import Tree
from harness.models.decoders._verify import Law, Verdict
from harness.models.decoders._warping import Warping

# V vocabulary, N nodes

Growth = Literal["constant", "beam", "independent"]


@dataclass(frozen=True, slots=True)
class Plan:
    """`constant`: widths[l] children for each node of level l, without replacement (RSD-C; a chain when all are 1).

    `beam`: stochastic beam search, the best widths[0] nodes of each of len(widths) levels (RSD-S).
    `independent`: widths[0] chains of len(widths) tokens, drawn independently (SpecTr-like).
    """

    growth: Growth
    widths: tuple[int, ...]

    @property
    def nodes(self) -> int:
        """Most nodes below the root."""
        if self.growth != "constant":
            return self.widths[0] * len(self.widths)
        total, level = 0, 1
        for width in self.widths:
            level *= width
            total += level
        return total


@dataclass(frozen=True, slots=True)
class _Leaf:
    node: int
    score: float  # log-probability of the path under the draft
    gumbel: float  # its perturbed log-probability


@final
class ModelDrafter(Drafter):
    """Grows the plan's tree with a draft model, for one prompt; a node whose logits are not finite grows nothing."""

    def __init__(
        self,
        draft: TokenModel,
        plan: Plan,
        warping: Warping,
        seed: int,
        capacity: int,
        meter: Meter,
        adaptive: bool = False,
        share: float = 0.0,
    ) -> None:
        self.draft_share = share
        self.plan, self.warping, self.meter, self.adaptive = plan, warping, meter, adaptive
        # drafting and verifying draw from separate streams, so that the draft cannot lean on the verifier's numbers
        self.rng = np.random.default_rng([seed, 1])
        self.cache = DraftCache(draft, capacity)
        self.laws: dict[int, Law] = {}
        self.length = len(plan.widths)

    def propose(self, tokens: Sequence[int], depth: int) -> Tree:
        """Draft as many levels as the plan, the limit and (when adaptive) recent acceptance allow."""
        tree = Tree.rooted(tokens[-1])
        self.laws = {}
        leaves = [_Leaf(0, 0.0, 0.0)]
        for level in range(min(self.length, depth)):
            nodes = sorted({leaf.node for leaf in leaves})
            try:
                logits_NV = self.cache.logits(tokens, tree, nodes, self.meter)
            except ArithmeticError:
                # the draft's network overflowed: an empty draft costs speed, never a token
                self.cache.forget()
                break
            leaves = self._grow(tree, leaves, level, dict(zip(nodes, logits_NV, strict=True)))
            if not leaves:
                break
        self.draft_calls = self.cache.calls
        return tree

    def law(self, node: int) -> Law | None:
        """The (warped) draft law that the node's children were drawn from."""
        return self.laws.get(node)

    def observe(self, tree: Tree, logits_NV: Tensor, verdict: Verdict) -> None:
        """Adapt the length as HF's assisted generation does: two more after full acceptance, else one less."""
        if self.adaptive and tree.drafted:
            full = not tree.children[verdict.path[-1]]
            self.length = min(len(self.plan.widths), self.length + 2) if full else max(1, self.length - 1)

    def _grow(self, tree: Tree, leaves: Sequence[_Leaf], level: int, logits_of: Mapping[int, Tensor]) -> list[_Leaf]:
        frontier: list[tuple[_Leaf, int, float, float]] = []
        for leaf in leaves:
            logits_V = logits_of[leaf.node]
            # one sum tells of any NaN or infinity
            if not bool(torch.isfinite(logits_V.sum())):
                continue
            if self.warping.temperature == 0:
                frontier += self._likeliest(leaf, logits_V, level)
                continue
            law = self.laws[leaf.node] = self.warping(logits_V).cpu().numpy()
            frontier += self._children(leaf, law, level)
        if self.plan.growth == "beam":
            frontier = sorted(frontier, key=lambda item: -item[3])[: self.plan.widths[0]]
        merge = self.plan.growth != "independent"
        return [_Leaf(tree.add(leaf.node, token, merge), score, gumbel) for leaf, token, score, gumbel in frontier]

    def _likeliest(self, leaf: _Leaf, logits_V: Tensor, level: int) -> list[tuple[_Leaf, int, float, float]]:
        """A greedy draft only orders tokens; a single one is found without sorting the vocabulary."""
        width = self._width(level)
        if width == 1:
            return [(leaf, likeliest(logits_V[None])[0], 0.0, 0.0)]
        best = torch.log_softmax(logits_V, -1).topk(min(width, len(logits_V)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(leaf, token, leaf.score + value, leaf.score + value) for token, value in pairs]

    def _width(self, level: int) -> int:
        if self.plan.growth == "constant":
            return self.plan.widths[level]
        # independent chains part at the root alone
        return self.plan.widths[0] if self.plan.growth == "beam" or level == 0 else 1

    def _children(self, leaf: _Leaf, law: Law, level: int) -> list[tuple[_Leaf, int, float, float]]:
        if self.plan.growth == "independent":
            drawn = self.rng.choice(len(law), size=self._width(level), p=law / law.sum())
            return [(leaf, int(token), 0.0, 0.0) for token in drawn]
        support = np.flatnonzero(law)
        scores = leaf.score + np.log(law[support])
        perturbed = scores + self.rng.gumbel(size=len(support))
        if self.plan.growth == "beam":
            perturbed = _conditioned(perturbed, leaf.gumbel)
        best = np.argsort(-perturbed, kind="stable")[: self._width(level)]
        return [(leaf, int(support[i]), float(scores[i]), float(perturbed[i])) for i in best]


def _conditioned(gumbels: NDArray[np.float64], maximum: float) -> NDArray[np.float64]:
    """Shift Gumbel variables so that their maximum is `maximum` (Kool et al. 2019, arXiv:1903.06059, appendix B.3)."""
    peak = gumbels.max()
    with np.errstate(divide="ignore"):
        shifted = maximum - gumbels + np.log1p(-np.exp(gumbels - peak))
    result: NDArray[np.float64] = maximum - np.maximum(shifted, 0.0) - np.log1p(np.exp(-np.abs(shifted)))
    return result
