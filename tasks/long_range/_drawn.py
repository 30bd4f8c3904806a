"""How does a generated labelling task stream its splits? Each example has its own generator, seeded by its place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.types import Example, Label, Labelled, Response

# T time

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One drawn example."""

    request: Label
    target: Any  # a class, or one class a graded position
    tags: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class DrawnTask(ABC):
    """Abstract: a task whose examples are drawn. Subclasses are final and say how to draw one."""

    train: int = 4_000  # examples
    validation: int = 400  # examples
    test: int = 1_000  # examples

    def __post_init__(self) -> None:
        """Refuse sizes that make no sense."""
        if min(self.train, self.validation, self.test) < 1:
            raise ValueError("train, validation and test must each be 1 or more.")

    @property
    def door(self) -> str:
        """Classes for sequences."""
        return "label"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Accuracy over examples or graded positions."""
        return ("accuracy",)

    @abstractmethod
    def draw(self, rng: np.random.Generator, split: str) -> Drawn:
        """One example of a split."""

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream a split; example i is the same whatever the split's size."""
        if split not in SPLITS:
            raise UsageError(f"{type(self).__name__} has no split {split!r}; it has {', '.join(SPLITS)}.")
        for index in range(getattr(self, split)):
            drawn = self.draw(np.random.default_rng([seed, SPLITS.index(split), index]), split)
            yield Example(f"{split}-{index}", (drawn.request,), drawn.target, drawn.tags)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Generated."""
        return "generated:1"

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """All mass on the target."""
        request = _label(example)
        return (Labelled(one_hot(example.target, request.classes)),)

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Scores without knowledge."""
        request = _label(example)
        shape = (len(request.positions), request.classes) if request.positions else (request.classes,)
        return (Labelled(rng.random(shape)),)


def one_hot(target: Any, classes: int) -> NDArray[np.float64]:
    """Scores [K] or [positions, K] that are 1 at the target."""
    return np.asarray(np.eye(classes)[np.asarray(target, dtype=int)])


def _label(example: Example) -> Label:
    request = example.requests[0]
    if not isinstance(request, Label):
        raise TypeError(f"a labelling task asks Label requests, not {type(request).__name__}")
    return request
