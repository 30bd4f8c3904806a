"""How does a function from texts to vectors become a model behind the `embed` door? Bad texts fail alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor

from harness.api.protocols import Meter
from harness.api.types import Embed, Embedded, Failure, Request, Response

# B batch, T time, D width


class Encoder(Protocol):
    """A tokenizer and a network: ids of a text, then a vector for each row of ids."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a reader of the result wants to know."""
        ...

    def tokens(self, text: str) -> list[int]:
        """Ids of a text; ValueError with the reason when it cannot be encoded."""
        ...

    def vectors(self, rows: Sequence[Sequence[int]], meter: Meter) -> Tensor:
        """One vector a row, [B, D]."""
        ...


@final
class EncoderModel:
    """An encoder behind the `embed` door."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    @property
    def identity(self) -> Mapping[str, Any]:
        """The encoder's facts."""
        return self.encoder.facts

    def size(self, request: Request) -> int:
        """Tokens; one for a text that cannot be read."""
        try:
            return max(1, len(self.encoder.tokens(request.text))) if isinstance(request, Embed) else 1
        except ValueError:
            return 1

    def embed(self, requests: Sequence[Embed], *, meter: Meter) -> list[Response]:
        """Embedded or Failure for each request."""
        responses: list[Response] = [Failure("no answer")] * len(requests)
        rows: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            try:
                rows[index] = self.encoder.tokens(request.text)
            except ValueError as problem:
                responses[index] = Failure(str(problem))
        if not rows:
            return responses
        with torch.inference_mode(), meter.span("embed", sum(map(len, rows.values()))):
            vectors_BD = self.encoder.vectors(list(rows.values()), meter).double().cpu().numpy()
        for index, vector in zip(rows, vectors_BD, strict=True):
            responses[index] = (
                Embedded(vector) if np.isfinite(vector).all() else Failure("the network's output is not finite")
            )
        return responses
