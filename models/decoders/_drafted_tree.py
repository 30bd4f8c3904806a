"""How does a draft model grow a tree? Level by level, by one of four ways of choosing the children of a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api.protocols import Meter, TokenModel
from harness.models.decoders._draft_model import DraftCache
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
    ) -> None:
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
            try:
                logits_NV = self.cache.logits(tokens, tree, self.meter)
            except ArithmeticError:
                # the draft's network overflowed: an empty draft costs speed, never a token
                self.cache.forget()
                break
            leaves = self._grow(tree, leaves, level, logits_NV)
            if not leaves:
                break
        return tree

    def law(self, node: int) -> Law | None:
        """The (warped) draft law that the node's children were drawn from."""
        return self.laws.get(node)

    def observe(self, tree: Tree, logits_NV: Tensor, verdict: Verdict) -> None:
        """Adapt the length as HF's assisted generation does: two more after full acceptance, else one less."""
        if self.adaptive and tree.drafted:
            full = not tree.children[verdict.path[-1]]
            self.length = min(len(self.plan.widths), self.length + 2) if full else max(1, self.length - 1)

    def _grow(self, tree: Tree, leaves: Sequence[_Leaf], level: int, logits_NV: Tensor) -> list[_Leaf]:
        frontier: list[tuple[_Leaf, int, float, float]] = []
        for leaf in leaves:
            logits_V = logits_NV[leaf.node]
            if not bool(torch.isfinite(logits_V).all()):
                continue
            law = self._law(logits_V)
            self.laws[leaf.node] = law
            frontier += self._children(leaf, law, level)
        if self.plan.growth == "beam":
            frontier = sorted(frontier, key=lambda item: -item[3])[: self.plan.widths[0]]
        merge = self.plan.growth != "independent"
        return [_Leaf(tree.add(leaf.node, token, merge), score, gumbel) for leaf, token, score, gumbel in frontier]

    def _law(self, logits_V: Tensor) -> Law:
        greedy = self.warping.temperature == 0
        law: Law = (torch.softmax(logits_V.double(), -1) if greedy else self.warping(logits_V)).cpu().numpy()
        return law

    def _children(self, leaf: _Leaf, law: Law, level: int) -> list[tuple[_Leaf, int, float, float]]:
        if self.plan.growth == "independent":
            count = self.plan.widths[0] if level == 0 else 1
            drawn = self.rng.choice(len(law), size=count, p=law / law.sum())
            return [(leaf, int(token), 0.0, 0.0) for token in drawn]
        support = np.flatnonzero(law)
        scores = leaf.score + np.log(law[support])
        perturbed = scores if self.warping.temperature == 0 else scores + self.rng.gumbel(size=len(support))
        width = self.plan.widths[0] if self.plan.growth == "beam" else self.plan.widths[level]
        if self.plan.growth == "beam" and self.warping.temperature > 0:
            perturbed = _conditioned(perturbed, leaf.gumbel)
        best = np.argsort(-perturbed, kind="stable")[:width]
        return [(leaf, int(support[i]), float(scores[i]), float(perturbed[i])) for i in best]


def _conditioned(gumbels: NDArray[np.float64], maximum: float) -> NDArray[np.float64]:
    """Shift Gumbel variables so that their maximum is `maximum` (Kool et al. 2019, arXiv:1903.06059, appendix B.3)."""
    peak = gumbels.max()
    with np.errstate(divide="ignore"):
        shifted = maximum - gumbels + np.log1p(-np.exp(gumbels - peak))
    result: NDArray[np.float64] = maximum - np.maximum(shifted, 0.0) - np.log1p(np.exp(-np.abs(shifted)))
    return result
