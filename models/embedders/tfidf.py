"""embedders/tfidf: words counted and weighed by how rare they are in a fixed corpus; no learning, no word meaning."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Meter, Setting
from harness.api.registry import model
from harness.api.types import Embed, Embedded, Request, Response
from harness.models.lms._training_prose import documentation

WORD = re.compile(r"\w+")


@model(
    doors=("embed",),
    paper="Salton, Buckley 1988, Term-weighting approaches; Weinberger et al. 2009, arXiv:0902.2206 (hashing)",
    licence="Apache-2.0",
    differs="document frequencies come from the Python documentation; words are hashed into `dimensions` signed places",
)
class TfIdf:
    """v[h(w)] += s(w) * count(w) * (1 + ln((1 + N) / (1 + df(w)))), normalised; h and s are a hash's place and sign.

    N and df count the paragraphs of Python's own documentation, which is the same on every machine of one Python
    version; a word that it lacks weighs most. Signed hashing leaves every dot product right on average, with noise
    of about 1 / sqrt(dimensions).

    Salton, Buckley 1988; Weinberger et al. 2009.
    Differs from the paper: that corpus, and hashed places in place of a vocabulary.
    """

    dimensions: int = 1024

    def __post_init__(self) -> None:
        """Refuse vectors without room."""
        if self.dimensions < 2:
            raise UsageError(f"tfidf: dimensions={self.dimensions}; give 2 or more.")

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Version of the rules, and a checksum of the corpus."""
        return {"version": "1", "corpus": f"{zlib.crc32(' '.join(documentation()).encode()):08x}"}

    def load(self, setting: Setting) -> WeighedWords:
        """Count documents."""
        paragraphs = [set(WORD.findall(text.lower())) for text in documentation()]
        frequencies = Counter(word for words in paragraphs for word in words)
        return WeighedWords(frequencies, len(paragraphs), self.dimensions)


@final
class WeighedWords:
    """Document frequencies behind the `embed` door."""

    def __init__(self, frequencies: Mapping[str, int], documents: int, dimensions: int) -> None:
        self.frequencies, self.documents, self.dimensions = frequencies, documents, dimensions

    @property
    def identity(self) -> Mapping[str, Any]:
        """Sizes."""
        return {"parameters": len(self.frequencies), "width": self.dimensions, "documents": self.documents}

    def size(self, request: Request) -> int:
        """Words."""
        return max(1, len(WORD.findall(request.text))) if isinstance(request, Embed) else 1

    def embed(self, requests: Sequence[Embed], *, meter: Meter) -> list[Response]:
        """A vector each; a text without words gets a zero vector."""
        with meter.span("embed", sum(map(self.size, requests))):
            return [Embedded(self._vector(request.text)) for request in requests]

    def _vector(self, text: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        vector = np.zeros(self.dimensions)
        for word, count in Counter(WORD.findall(text.lower())).items():
            place = zlib.crc32(word.encode("utf-8", "surrogatepass"))
            sign = 1.0 if place & 1 else -1.0
            rarity = 1.0 + math.log((1 + self.documents) / (1 + self.frequencies.get(word, 0)))
            vector[(place >> 1) % self.dimensions] += sign * count * rarity
        length = float(np.linalg.norm(vector))
        return vector / length if length else vector
