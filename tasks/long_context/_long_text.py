"""How does a task over texts of several lengths stream? Every prompt has its own generator, lengths take turns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.types import Example, Generate, Generated, Response
from harness.tasks.long_context._passkey_text import FILLER, words
from harness.tasks.long_context._values_found import EffectiveLength, ValuesFound

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One prompt, and the values that its answer must hold."""

    prompt: str
    values: tuple[str, ...]
    room: int  # tokens for the answer


@dataclass(frozen=True, kw_only=True)
class LongTextTask(ABC):
    """Abstract: prompts of each of `lengths` words, `samples` of each. Subclasses are final and draw one."""

    lengths: tuple[int, ...] = (512, 1024, 2048, 4096)  # words of the whole prompt
    samples: int = 20  # prompts a length

    def __post_init__(self) -> None:
        """Refuse grids that make no sense."""
        if not self.lengths or len(set(self.lengths)) < len(self.lengths) or min(self.lengths) < 1:
            raise ValueError(f"lengths={self.lengths} must be one or more numbers of words, each once.")
        if self.samples < 1:
            raise ValueError("samples must be at least 1.")

    @property
    def door(self) -> str:
        """Text for text."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Share of the values, and the longest length above 95%."""
        return (ValuesFound(), EffectiveLength())

    @abstractmethod
    def draw(self, length: int, rng: np.random.Generator) -> Drawn:
        """One prompt of at most `length` words; ValueError when that is too few."""

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """All lengths once, then all again: a limited run covers them evenly. Ids are the place in the grid."""
        if split not in SPLITS:
            raise UsageError(f"{type(self).__name__} has no split {split!r}; it has {', '.join(SPLITS)}.")
        for sample in range(self.samples):
            for length in self.lengths:
                drawn = self.draw(length, np.random.default_rng([seed, SPLITS.index(split), sample, length]))
                yield Example(
                    f"{split}-{length}-{sample}",
                    (Generate(drawn.prompt, drawn.room),),
                    list(drawn.values),
                    {"length": str(length)},
                )

    def data_digest(self, split: str, sources: Sources) -> str:
        """Generated."""
        return "generated:1"

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Says all values."""
        return (Generated(text=" " + ", ".join(example.target)),)

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """As many numbers, which stand nowhere."""
        return (Generated(text=" ".join(str(rng.integers(10**8, 10**9)) for _ in example.target)),)


def among_filler(facts: Sequence[str], length: int, around: int, rng: np.random.Generator) -> str:
    """The facts in this order at random places of filler, so that all and `around` other words make `length` words."""
    room = length - around - sum(map(words, facts))
    if room < max(map(words, FILLER)):
        raise ValueError(f"a prompt of {length} words has no room for filler beside its {len(facts)} facts.")
    filler: list[str] = []
    order: list[int] = []
    while True:
        order = order or [int(index) for index in rng.permutation(len(FILLER))]
        sentence = FILLER[order.pop()]
        if words(sentence) > room:
            break
        filler.append(sentence)
        room -= words(sentence)
    places = sorted(int(place) for place in rng.integers(len(filler) + 1, size=len(facts)))
    notes: list[str] = []
    for place in range(len(filler) + 1):
        notes += [fact for fact, at in zip(facts, places, strict=True) if at == place]
        notes += filler[place : place + 1]
    return " ".join(notes)


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
