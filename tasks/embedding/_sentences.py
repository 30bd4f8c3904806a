"""How does a sentence classifier's task travel through the label door? As bytes, and splits that keep tests apart."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import DataError, UsageError
from harness.api.protocols import Sources
from harness.api.types import DataFile, Dataset, Example, HubData, Label, Labelled, Response

VOCABULARY = 257  # byte b is id b + 1; 0 stands between the two sentences of a pair
SPLITS = ("train", "validation", "test")
FOLDS = 10  # of the sets without an official test
HELD_OUT = 10  # % of the training sentences that select, where no official validation exists


@dataclass(frozen=True, slots=True)
class Stored:
    """One file, and which of the official splits it has."""

    name: str
    sha256: str
    classes: int
    official: Mapping[str, tuple[str, ...]]  # our split -> values of the split column; empty for ten folds
    columns: tuple[str, ...] = ("text",)
    hub: str = ""

    @property
    def dataset(self) -> Dataset:
        """The data set; every split lies in the one file."""
        file = DataFile(f"sentence_classification/{self.name}.tsv.gz", self.sha256)
        columns = ("split", "label", *self.columns)
        return Dataset(
            self.name,
            dict.fromkeys(SPLITS, file),
            columns,
            "not stated (research use)",
            HubData(self.hub, {split: split for split in SPLITS}) if self.hub else None,
        )


class TransferTask(ABC):
    """Abstract: classes of sentences. Subclasses are final and say which file, and perhaps which fold.

    A request is the UTF-8 bytes of the sentence, so that a probe on frozen vectors and a byte-level sequence model
    compete on the same examples. Sentences that occur in test leave the other splits.
    """

    @property
    @abstractmethod
    def stored(self) -> Stored:
        """The file."""

    @property
    def tested_fold(self) -> int:
        """Which tenth is tested, for sets without an official test."""
        return 0

    @property
    def door(self) -> str:
        """Classes."""
        return "label"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Accuracy."""
        return ("accuracy", "balanced_accuracy")

    @property
    def chance(self) -> float:
        """All classes alike."""
        return 1 / self.stored.classes

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream the split in file order; the seed changes nothing."""
        if split not in SPLITS:
            raise UsageError(f"embedding/{self.stored.name} has no split {split!r}; it has {', '.join(SPLITS)}.")
        rows = [(number, row) for number, row in enumerate(sources.rows(self.stored.dataset, split))]
        parts = [self._split(row) for _, row in rows]
        keys = [tuple(str(row[column]) for column in self.stored.columns) for _, row in rows]
        tested = {key for key, part in zip(keys, parts, strict=True) if part == "test"}
        given = {key for key, part in zip(keys, parts, strict=True) if part == "validation"} if split == "train" else ()
        for (number, row), part, key in zip(rows, parts, keys, strict=True):
            if part == split and (split == "test" or key not in tested) and key not in given:
                yield self._example(f"{split}-{number}", key, row)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        return sources.digest(self.stored.dataset, split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """All mass on the target."""
        return (Labelled(np.eye(self.stored.classes)[int(example.target)]),)

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Scores without knowledge."""
        return (Labelled(rng.random(self.stored.classes)),)

    def _split(self, row: Mapping[str, Any]) -> str:
        official, key = self.stored.official, "\0".join(str(row[column]) for column in self.stored.columns)
        if not official and _percent("fold\0" + key) % FOLDS == self.tested_fold:
            return "test"
        found = next((ours for ours, theirs in official.items() if row["split"] in theirs), "train")
        carve = found == "train" and "validation" not in official
        return "validation" if carve and _percent("held\0" + key) < HELD_OUT else found

    def _example(self, identifier: str, texts: Sequence[str], row: Mapping[str, Any]) -> Example:
        label, classes = str(row["label"]), self.stored.classes
        if not label.isdigit() or int(label) >= classes:
            raise DataError(
                f"embedding/{self.stored.name} {identifier}: the label {label!r} is not 0 to {classes - 1}."
            )
        return Example(identifier, (Label(as_bytes(texts), classes, VOCABULARY),), int(label))


@dataclass(frozen=True, kw_only=True)
class FoldedTask(TransferTask):
    """Abstract: a set without an official test, of which one fold in ten is tested."""

    fold: int = 0  # of ten; the one that is tested

    def __post_init__(self) -> None:
        """Refuse other folds."""
        if not 0 <= self.fold < FOLDS:
            raise ValueError(f"fold={self.fold} is not one of the folds 0 to {FOLDS - 1}.")

    @property
    def tested_fold(self) -> int:
        """Parameter."""
        return self.fold


def as_bytes(texts: Sequence[str]) -> NDArray[np.int64]:
    """Ids of a sentence, or of two with a 0 between them; a text without any byte is one 0."""
    parts: list[NDArray[np.int64]] = []
    for text in texts:
        parts += [np.zeros(1, np.int64), np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) + 1]
    ids = np.concatenate(parts[1:])
    return ids if len(ids) else np.zeros(1, np.int64)


def _percent(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:4], "big") % 100
