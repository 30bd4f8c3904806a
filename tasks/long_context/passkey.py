"""Whether a model finds one five-digit key in a long text, wherever it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example, Generate, Generated, Request, Response, Score, Scored
from harness.tasks.long_context._key_found import KeyFound
from harness.tasks.long_context._passkey_text import minimum_length, prompt

SPLITS = ("train", "validation", "test")
KEYS = (10_000, 100_000)  # five digits, the first is not 0


@task(
    version=1,
    doors=("generate", "score"),
    paper="Mohtashami, Jaggi 2023, Landmark Attention; Chen et al. 2024, Stuffed Mamba (grid)",
    licence="Apache-2.0 (generated)",
    differs="own sentences; filler is drawn anew for each prompt; lengths in words",
    chance=0.0000111,
)
class Passkey:
    """A five-digit key hidden at each depth of texts of each length; exact match by generation or by scoring.

    `samples` prompts a cell of the grid. With `by=generate` the model continues "The pass key is" and the
    first five-digit number of the continuation must be the key (chance 1 in 90,000). With `by=score` the key competes
    with `distractors` other keys that the text does not hold (chance 1 / (1 + distractors)).

    Lengths are words of the whole prompt, counted by white space; a byte-pair tokenizer makes about 1.2 tokens of
    each. A prompt that exceeds the model's context must be refused: it becomes a counted Failure and is never cut.

    Mohtashami, Jaggi 2023, "Landmark Attention"; Chen et al. 2024, "Stuffed Mamba".
    Differs from the paper: own sentences, filler drawn anew for each prompt, and lengths in words.
    """

    lengths: tuple[int, ...] = (128, 256, 512)  # words
    depths: tuple[int, ...] = (0, 25, 50, 75, 100)  # % of the filler that stands before the key
    samples: int = 4  # prompts a cell
    by: Literal["generate", "score"] = "generate"
    distractors: int = 9

    def __post_init__(self) -> None:
        """Refuse grids that make no sense."""
        if not self.lengths or not self.depths:
            raise ValueError("passkey needs at least one length and one depth.")
        if min(self.lengths) < minimum_length():
            raise ValueError(
                f"lengths={min(self.lengths)} is too short; a prompt has at least {minimum_length()} words."
            )
        if min(self.depths) < 0 or max(self.depths) > 100:
            raise ValueError(f"depths={self.depths} are not percentages between 0 and 100.")
        if len(set(self.lengths)) < len(self.lengths) or len(set(self.depths)) < len(self.depths):
            raise ValueError("lengths and depths must not repeat.")
        if self.samples < 1 or self.distractors < 1:
            raise ValueError("samples and distractors must be at least 1.")

    @property
    def door(self) -> str:
        """As the parameter `by` says."""
        return self.by

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Share of keys found."""
        return (KeyFound(),)

    @property
    def chance(self) -> float:
        """What a guess among all keys, or among the scored ones, reaches."""
        return 1 / (1 + self.distractors) if self.by == "score" else 1 / (KEYS[1] - KEYS[0])

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """All cells once, then all cells again, `samples` times: a limited run covers the grid evenly.

        Keys leave a different remainder modulo 3 in each split, so that no prompt is in two splits.
        """
        if split not in SPLITS:
            raise UsageError(f"long_context/passkey has no split {split!r}; it has {', '.join(SPLITS)}.")
        remainder = SPLITS.index(split)
        for sample in range(self.samples):
            for length in self.lengths:
                for depth in self.depths:
                    # each prompt has its own generator: a cell does not depend on the rest of the grid
                    rng = np.random.default_rng([seed, remainder, sample, length, depth])
                    key = _draw_key(rng, remainder)
                    text = prompt(key, length, depth, rng)
                    yield Example(
                        id=f"{split}-{length}-{depth}-{sample}",
                        requests=self._requests(text, key, rng),
                        target=key,
                        tags={"length": str(length), "depth": str(depth)},
                    )

    def data_digest(self, split: str, sources: Sources) -> str:
        """Generated."""
        return "generated:1"

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Knows the key."""
        if self.by == "generate":
            return (Generated(text=f" {example.target}."),)
        return tuple(_scored(0.0 if index == 0 else -9.0) for index in range(len(example.requests)))

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Draws any key."""
        if self.by == "generate":
            return (Generated(text=f" {rng.integers(*KEYS)}."),)
        return tuple(_scored(-float(rng.exponential())) for _ in example.requests)

    def _requests(self, text: str, key: str, rng: np.random.Generator) -> tuple[Request, ...]:
        if self.by == "generate":
            return (Generate(source=text, max_new_tokens=12),)
        keys = [key]
        while len(keys) <= self.distractors:
            other = str(rng.integers(*KEYS))
            if other not in keys:
                keys.append(other)
        return tuple(Score(context=text, continuation=f" {candidate}.") for candidate in keys)


def _draw_key(rng: np.random.Generator, remainder: int) -> str:
    """A key of the split: 30,000 of the 90,000 numbers."""
    return str(KEYS[0] + 3 * int(rng.integers((KEYS[1] - KEYS[0]) // 3)) + remainder)


def _scored(logprob: float) -> Scored:
    return Scored(logprobs=(logprob,), spans=((0, 7),))
