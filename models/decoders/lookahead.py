"""decoders/lookahead: Jacobi iteration of a window of guesses, with a pool of the n-grams that it passes through."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import final

from torch import Tensor

from harness.api.protocols import Meter, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._likeliest import likeliest
from harness.models.decoders._speculation import Drafter, speculate
from harness.models.decoders._tree import Tree
from harness.models.decoders._verify import Verdict, draw_then_match
from harness.models.decoders._warping import Warping

# N nodes, V vocabulary


@decoder(
    lossless="law",
    needs=("tree",),
    paper="Fu et al. 2024, Lookahead Decoding, arXiv:2402.02057; Santilli et al. 2023, arXiv:2305.10427",
    differs="one trajectory in place of the 2-D window, so n-grams come from successive guesses",
)
class Lookahead:
    """Each call scores a chain of guesses; the arg-max after every guess is the next iteration's guess.

    Tokens that follow each other in the guesses are kept as n-grams, and those that begin with the pending token are
    drafted beside the window. With `guesses=0` it is plain Jacobi decoding.
    Differs from the paper: one trajectory in place of the 2-D window, so n-grams come from successive guesses.
    """

    window: int = 7  # guesses ahead
    ngram: int = 5  # tokens of a pooled n-gram
    guesses: int = 7  # n-grams verified a step
    temperature: float = 0.0

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt; greedy for temperature 0, else samples from the target's own law."""
        return speculate(
            lm,
            prompts,
            [Jacobi(self.window, self.ngram, self.guesses) for _ in prompts],
            seeds=seeds,
            meter=meter,
            warping=Warping(self.temperature),
            rule=draw_then_match,
            width=self.window + self.guesses * (self.ngram - 1),
        )


@final
class Jacobi(Drafter):
    """The window of guesses and the pool of n-grams, by first token, the most recent last."""

    def __init__(self, window: int, ngram: int, guesses: int) -> None:
        self.window, self.ngram, self.guesses = window, ngram, guesses
        self.ahead: list[int] = []
        self.pool: dict[int, OrderedDict[tuple[int, ...], None]] = {}

    def propose(self, tokens: Sequence[int], depth: int) -> Tree:
        """The window as a chain, then the pending token's n-grams as branches."""
        tree = Tree.rooted(tokens[-1])
        # a first window of recent tokens costs nothing and is as good as any
        window = self.ahead or list(tokens[-self.window :])
        tree.add_chain(window[: min(depth, self.window)])
        for tail in list(self.pool.get(tokens[-1], ()))[::-1][: self.guesses]:
            tree.add_chain(tail[:depth])
        return tree

    def observe(self, tree: Tree, logits_NV: Tensor, verdict: Verdict) -> None:
        """Next guesses: what the target said along the window beyond the accepted part."""
        best = likeliest(logits_NV)
        chain = [0]
        while tree.children[chain[-1]] and len(chain) <= self.window:
            chain.append(tree.children[chain[-1]][0])
        said = [best[node] for node in chain]
        self._remember([tree.tokens[chain[0]], *said])
        kept = sum(1 for node in verdict.path[1:] if node in chain)
        self.ahead = said[kept + 1 :]
        # the window slides on: what it lost in front it regains behind, by repeating its end
        while self.ahead and len(self.ahead) < self.window:
            self.ahead.append(self.ahead[-1])

    def _remember(self, line: Sequence[int]) -> None:
        size = self.ngram
        for start in range(len(line) - size + 1):
            row = self.pool.setdefault(line[start], OrderedDict())
            tail = tuple(line[start + 1 : start + size])
            row[tail] = None
            row.move_to_end(tail)
            if len(row) > max(1, self.guesses):
                row.popitem(last=False)
