"""How a function from text to text answers at the `generate` door."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

from harness.api.errors import UsageError
from harness.api.protocols import Decoder, Meter
from harness.api.types import Example, Failure, Generate, Generated, Request, Response


@final
class Corrector:
    """A loaded model that rewrites each source on its own; instruction and shots are not for it."""

    def __init__(self, rewrite: Callable[[str], str], identity: Mapping[str, Any]) -> None:
        self.rewrite, self._identity = rewrite, identity

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the model is made of."""
        return {"backend": "python", "device": "cpu", **self._identity}

    def size(self, request: Request) -> int:
        """Characters over four."""
        text = request.source if isinstance(request, Generate) and isinstance(request.source, str) else ""
        return 1 + len(text) // 4

    def generate(
        self, requests: Sequence[Generate], *, decoder: Decoder | None, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        """The rewritten text of each request; anything but plain text is a Failure."""
        responses: list[Response] = []
        for index, request in enumerate(requests):
            if not isinstance(request.source, str):
                responses.append(Failure(f"a corrector rewrites text, not {type(request.source).__name__}."))
                continue
            with meter.span("decode"):
                text = self.rewrite(request.source)
            meter.count("model_calls")
            meter.emitted(index, len(text.split()))
            responses.append(Generated(text=text, finished="eos"))
        return responses


def text_pairs(stream: Callable[[], Iterator[Example]]) -> Iterator[tuple[str, str]]:
    """(typed, intended) of each example; UsageError when a task's examples are not of that kind."""
    for example in stream():
        request = example.requests[0]
        source = request.source if isinstance(request, Generate) else None
        if not isinstance(source, str) or not isinstance(example.target, str):
            raise UsageError(
                "a keyboard corrector learns from pairs of texts; this task's examples are not such pairs."
            )
        yield source, example.target
