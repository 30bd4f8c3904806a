"""Whether a language model gives the word that stood beside another word in the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example, Response, Score, Scored

SPLITS = ("train", "validation", "test")
OPENING = "Each name below goes with one object."
# short, common, and without a shared beginning, so that the first tokens differ
NAMES = (
    "Adam Bella Carlos Diana Edgar Fiona George Hanna Igor Julia Kevin Laura Martin Nora Oscar Paula Quentin Rosa "
    "Simon Tina Ulrich Vera Walter Xenia Yusuf Zoe"
)
OBJECTS = (
    "apple bottle candle drum engine feather guitar hammer island jacket kettle ladder mirror needle orange pencil "
    "queen ribbon saddle table umbrella violin window yacht zebra anchor"
)
MOST = len(NAMES.split())


@task(
    version=1,
    doors=("score",),
    paper="Arora et al. 2023, Zoology: Measuring and Improving Recall, arXiv:2312.04927 (in text form)",
    licence="Apache-2.0 (generated)",
    differs="names and objects in lines of text, for trained language models; one query a prompt",
)
class AssociativeRecall:
    """`pairs` lines "name - object", then a name again: its object must be the likeliest of all objects shown.

    `repeats` shows the whole list again in another order. Every name is as likely to be asked, and every prompt has a
    new pairing, so a model that knows only which objects occurred is right 1 time in `pairs`. The breakdown shows where
    in the list the pair stood (first, middle or last third).

    Arora et al. 2023, "Zoology".
    Differs from the paper: names and objects in lines of text; one query a prompt.
    """

    pairs: int = 8
    repeats: int = 1  # times that the list is shown
    samples: int = 200  # prompts

    def __post_init__(self) -> None:
        """Refuse lists without a choice."""
        if not 2 <= self.pairs <= MOST:
            raise ValueError(f"pairs={self.pairs}; give 2 to {MOST}.")
        if self.repeats < 1 or self.samples < 1:
            raise ValueError("repeats and samples must be at least 1.")

    @property
    def door(self) -> str:
        """Likelihoods of the objects."""
        return "score"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Share of names whose object is the likeliest."""
        return ("accuracy",)

    @property
    def chance(self) -> float:
        """Any of the shown objects."""
        return 1 / self.pairs

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream prompts; each has its own generator."""
        if split not in SPLITS:
            raise UsageError(f"recall/associative_recall has no split {split!r}; it has {', '.join(SPLITS)}.")
        for sample in range(self.samples):
            rng = np.random.default_rng([seed, SPLITS.index(split), sample])
            names = rng.permutation(NAMES.split())[: self.pairs].tolist()
            objects = rng.permutation(OBJECTS.split())[: self.pairs].tolist()
            lines = [f"{name} - {thing}" for name, thing in zip(names, objects, strict=True)]
            shown = list(lines)
            for _ in range(self.repeats - 1):
                shown += [lines[index] for index in rng.permutation(self.pairs)]
            asked = int(rng.integers(self.pairs))
            context = "\n".join([OPENING, *shown, f"{names[asked]} -"])
            yield Example(
                f"{split}-{sample}",
                tuple(Score(context, f" {thing}") for thing in objects),
                asked,
                {"third": ("first", "middle", "last")[3 * asked // self.pairs]},
            )

    def data_digest(self, split: str, sources: Sources) -> str:
        """Generated."""
        return "generated:1"

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Knows the object."""
        return tuple(_scored(0.0 if place == example.target else -9.0) for place in range(self.pairs))

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Any object."""
        return tuple(_scored(-float(rng.exponential())) for _ in range(self.pairs))


def _scored(logprob: float) -> Scored:
    return Scored(logprobs=(logprob,), spans=((0, 1),))
