"""How does a call inside a decoder report to the meter of the call around it? Its times count; its tokens, as told."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import final

from harness.api.protocols import Meter


@final
@dataclass(frozen=True, slots=True)
class InnerMeter:
    """The outer meter, for a call whose tokens are those of its request number `place`, or nobody's yet (None)."""

    meter: Meter
    place: int | None = None

    def span(self, name: str, tokens: int = 0) -> AbstractContextManager[None]:
        """The outer call's."""
        return self.meter.span(name, tokens)

    def emitted(self, request: int, tokens: int) -> None:
        """Tokens of a candidate reach nobody before it is chosen."""
        if self.place is not None:
            self.meter.emitted(self.place, tokens)

    def count(self, name: str, amount: int = 1) -> None:
        """The outer call's."""
        self.meter.count(name, amount)

    def elapsed(self) -> float:
        """The outer call's."""
        return self.meter.elapsed()
