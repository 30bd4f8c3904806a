"""How does a rule that picks sentences answer at the `generate` door? By repeating lines or sentences of the source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, final

import numpy as np

from harness.api.protocols import Decoder, Meter
from harness.api.types import Failure, Generate, Generated, Request, Response

Unit = Literal["auto", "line", "sentence"]
# sentences and a generator of the request's own seed -> indices of those to repeat
Pick = Callable[[Sequence[str], np.random.Generator], Iterable[int]]

_END = re.compile(r"(?<=[.!?])\s+")


def sentences(text: str, unit: Unit = "auto") -> list[str]:
    """Lines, or parts that end in . ! or ? before white space; blank ones are left out.

    `auto` takes lines, but sentences where there is one line only or lines are paragraphs with a blank line between.
    """
    lines = [line.strip() for line in text.split("\n")]
    filled = [line for line in lines if line]
    if unit == "line" or (unit == "auto" and len(filled) > 1 and "" not in lines[1:-1]):
        return filled
    return [part.strip() for line in filled for part in _END.split(line) if part.strip()]


@final
class Extractor:
    """A loaded model that repeats sentences of each source, one a line, in the source's order."""

    def __init__(self, pick: Pick, unit: Unit, identity: Mapping[str, Any]) -> None:
        self._pick, self._unit, self._identity = pick, unit, identity

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the model is made of."""
        return {"backend": "python", "device": "cpu", "parameters": 0, **self._identity}

    def size(self, request: Request) -> int:
        """Words of the source."""
        source = request.source if isinstance(request, Generate) else ""
        return 1 + source.count(" ") if isinstance(source, str) else 1

    def generate(
        self, requests: Sequence[Generate], *, decoder: Decoder | None, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        """The chosen sentences; an empty text for a blank source, a Failure for anything but text."""
        responses: list[Response] = []
        for index, (request, seed) in enumerate(zip(requests, seeds, strict=True)):
            if not isinstance(request.source, str):
                responses.append(
                    Failure(f"an extractive summariser reads a text, not a {type(request.source).__name__}.")
                )
                continue
            with meter.span("decode"):
                parts = sentences(request.source, self._unit)
                chosen = sorted(set(self._pick(parts, np.random.default_rng(seed)))) if parts else []
                text = "\n".join(parts[place] for place in chosen)
            meter.emitted(index, len(text.split()))
            responses.append(Generated(text=text, finished="eos"))
        return responses
