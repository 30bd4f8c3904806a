"""How does an operation become a task? The same shape, drawn anew for each example, timed a few calls long."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.types import Example, Measure


@dataclass(frozen=True, kw_only=True)
class KernelSpeed(ABC):
    """Abstract: time one operation. Subclasses are final and give its name and the size of each axis."""

    operation: ClassVar[str]

    test: int = 10  # examples
    calls: int = 5  # timed calls of each example
    backward: bool = True  # time the gradients too
    case: str = ""  # a case of the operation's own inputs; empty for its first

    def __post_init__(self) -> None:
        """Refuse sizes that make no sense."""
        if min(self.test, self.calls, *self.size.values()) < 1:
            raise ValueError("test, calls and every size must be 1 or more.")

    @property
    @abstractmethod
    def size(self) -> Mapping[str, int]:
        """Axis letter -> size."""

    @property
    def door(self) -> str:
        """Operations are measured."""
        return "measure"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """The time of a call, and the distance from the definition."""
        return ("call_seconds", "reference_error")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Examples that differ in their drawn inputs alone."""
        del sources  # everything is drawn
        if split != "test":
            raise UsageError(f"kernels/{self.operation} has no split {split!r}; it has test.")
        tags = {letter: str(size) for letter, size in self.size.items()}
        for number in range(self.test):
            request = Measure(
                self.operation, self.size, seed * 1_000_003 + number, self.case, self.backward, self.calls
            )
            yield Example(f"test-{number}", (request,), tags=tags)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Drawn."""
        return "generated:1"
