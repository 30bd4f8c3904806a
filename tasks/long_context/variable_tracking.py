"""Whether a model follows a chain of assignments through a long text."""

from __future__ import annotations

import string

import numpy as np

from harness.api.registry import task
from harness.tasks.long_context._long_text import Drawn, LongTextTask, among_filler
from harness.tasks.long_context._passkey_text import words

OPENING = "Between the notes below some variables are assigned. Keep track of which variable holds which value."
QUESTION = (
    "That is the end of the notes. Which variables hold the value {value}, directly or through other variables? "
    "The {count} variables are"
)


@task(
    version=1,
    doors=("generate",),
    paper="Hsieh et al. 2024, RULER, arXiv:2404.06654 (variable tracking)",
    licence="Apache-2.0 (generated)",
    differs="own sentences and filler; lengths in words; no solved example in the prompt",
    chance=0.0,
)
class VariableTracking(LongTextTask):
    """`chains` chains X1 = number, X2 = X1, ... of `hops` links; all variables of one chain must be named.

    An assignment always stands after the one that it refers to; the assignments of different chains are mixed.

    Hsieh et al. 2024, "RULER".
    Differs from the paper: own sentences and filler, lengths in words, no solved example in the prompt.
    """

    chains: int = 2
    hops: int = 4

    def __post_init__(self) -> None:
        """Refuse grids that make no sense or cannot hold their chains."""
        super().__post_init__()
        if self.chains < 1 or self.hops < 0:
            raise ValueError(f"chains={self.chains} and hops={self.hops}; give 1 or more chains and 0 or more hops.")
        self.draw(min(self.lengths), np.random.default_rng(0))

    def draw(self, length: int, rng: np.random.Generator) -> Drawn:
        """Chains, mixed so that each keeps its own order."""
        size = self.hops + 1
        names: list[str] = []
        while len(names) < self.chains * size:
            name = "".join(string.ascii_uppercase[letter] for letter in rng.integers(26, size=5))
            if name not in names:
                names.append(name)
        values = (rng.choice(90_000, self.chains, replace=False) + 10_000).tolist()
        chains = [names[start : start + size] for start in range(0, len(names), size)]
        turns = rng.permutation(np.repeat(np.arange(self.chains), size)).tolist()
        facts, done = [], [0] * self.chains
        for chain in turns:
            link = done[chain]
            source = str(values[chain]) if link == 0 else f"VAR {chains[chain][link - 1]}"
            facts.append(f"VAR {chains[chain][link]} = {source}.")
            done[chain] += 1
        question = QUESTION.format(value=values[0], count=size)
        notes = among_filler(facts, length, words(OPENING) + words(question), rng)
        return Drawn(f"{OPENING}\n\n{notes}\n\n{question}", tuple(chains[0]), 8 * size + 16)
