"""Whether one paper cites another, read from the characters of both."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.errors import DataError, UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example, Label, Labelled, Response
from harness.tasks.long_range._drawn import one_hot
from harness.tasks.long_range._reference import transformer_parameters

FILES = {
    "train": "new_aan_pairs.train.tsv",
    "validation": "new_aan_pairs.eval.tsv",
    "test": "new_aan_pairs.test.tsv",
}
SEPARATOR = 257  # between the documents; byte b is id b + 1
VOCABULARY = 258


@task(
    version=1,
    doors=("label",),
    paper="Radev et al. 2013 (AAN); Tay et al. 2021 (LRA), arXiv:2011.04006",
    licence="not stated (ACL Anthology Network)",
    differs="one sequence of both documents with a separator; LRA encodes them apart and compares the encodings",
    chance=0.5,
)
class Retrieval:
    """Pairs of papers of the ACL Anthology Network, `length` bytes each; 1 when the first cites the second.

    `path` is the folder of the official release, which holds new_aan_pairs.{train,eval,test}.tsv (no header; label,
    two ids, two texts). The published base Transformer reaches 57.46 %.
    Differs from the paper: one sequence with a separator, in place of two encodings that are compared.
    """

    path: Path
    length: int = 4_000  # bytes of each document

    def __post_init__(self) -> None:
        """Refuse empty documents."""
        if self.length < 1:
            raise ValueError("retrieval needs length >= 1.")

    @property
    def reference_parameters(self) -> int:
        """Size of the base Transformer of the release."""
        return transformer_parameters(
            vocabulary=VOCABULARY, classes=2, width=128, inner=128, mlp=512, layers=4, pair=True
        )

    @property
    def door(self) -> str:
        """Two classes."""
        return "label"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Accuracy."""
        return ("accuracy",)

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream a split in file order; a row with other than five columns is an error that names its line."""
        with self._file(split).open(encoding="utf-8", newline="") as opened:
            for number, row in enumerate(csv.reader(opened, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
                if len(row) != 5:
                    raise DataError(f"{FILES[split]}, line {number}: {len(row)} columns, but a pair has 5.")
                label, first, second, left, right = row
                sequence = np.concatenate([self._bytes(left), [SEPARATOR], self._bytes(right)])
                request = Label(sequence, 2, VOCABULARY)
                yield Example(f"{split}-{number}-{first}-{second}", (request,), int(float(label)))

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the split's file."""
        import hashlib

        with self._file(split).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """All mass on the target."""
        return (Labelled(one_hot(example.target, 2)),)

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Scores without knowledge."""
        return (Labelled(rng.random(2)),)

    def _bytes(self, text: str) -> np.ndarray[Any, Any]:
        return np.frombuffer(text.encode("utf-8", "surrogatepass")[: self.length], np.uint8).astype(np.int64) + 1

    def _file(self, split: str) -> Path:
        if split not in FILES:
            raise UsageError(f"long_range/retrieval has no split {split!r}; it has {', '.join(FILES)}.")
        file = self.path / FILES[split]
        if not file.is_file():
            raise DataError(
                f"long_range/retrieval: {self.path} holds no {FILES[split]}; give the LRA release by path=."
            )
        return file
