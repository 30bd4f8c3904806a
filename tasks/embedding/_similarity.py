"""How is a set of scored sentence pairs asked? Two vectors a pair, and the rank correlation of cosine and score."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from harness.api.errors import DataError, UsageError
from harness.api.protocols import Sources
from harness.api.types import DataFile, Dataset, Embed, Embedded, Example, HubData, Response

YEARS = Dataset(
    name="sts12_16",
    files={
        "test": DataFile("sts/sts12_16_test.tsv.gz", "a65b12fa0bea4c3437e892322a211c5fbcfae03f5d8d2d71d6dde807ad42d145")
    },
    columns=("year", "subset", "score", "sentence1", "sentence2"),
    licence="scores CC BY-SA 4.0; MSRpar and MSRvid need Microsoft Research terms; StackExchange CC BY-SA 3.0",
)
BENCHMARK = Dataset(
    name="stsb",
    files={
        split: DataFile("sts/stsb.tsv.gz", "a25d1bfffc4ff53639fb9e5800163b095488789f536db5128e8f87ad27839b0b")
        for split in ("train", "validation", "test")
    },
    columns=("split", "genre", "score", "sentence1", "sentence2"),
    licence="scores CC BY-SA 4.0; sentences as in the STS releases",
    hub=HubData(id="mteb/stsbenchmark-sts", splits={"train": "train", "validation": "validation", "test": "test"}),
)
RELATEDNESS = Dataset(
    name="sick",
    files={
        split: DataFile("sts/sick.tsv.gz", "0db7cf7bfc5010944b6a8855d904efd8b083fa2975681103c6d101a99e72ec11")
        for split in ("train", "validation", "test")
    },
    columns=("split", "score", "sentence1", "sentence2"),
    licence="CC BY-NC-SA 3.0",
)
# our split -> the name in the files
STORED = {"train": ("train",), "validation": ("dev", "trial"), "test": ("test",)}
HIGHEST = 5.0  # of the gold scores
YEARLY = ("sts12", "sts13", "sts14", "sts15", "sts16")
SETS = (*YEARLY, "stsb", "sickr")
SPLITS = ("train", "validation", "test")


class SimilarityTask(ABC):
    """Abstract: a task of scored pairs. Subclasses are final and say which rows are theirs."""

    @property
    def door(self) -> str:
        """Vectors."""
        return "embed"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Rank correlation over all pairs ("all" setting), and the linear one."""
        return ("spearman", "pearson")

    @abstractmethod
    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream the split in the order of the release; the seed changes nothing."""

    @abstractmethod
    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Two vectors whose cosine is the score over five."""
        cosine = float(example.target) / HIGHEST
        return (
            Embedded(np.array([1.0, 0.0])),
            Embedded(np.array([cosine, math.sqrt(max(0.0, 1.0 - cosine * cosine))])),
        )

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Two unrelated directions."""
        return (Embedded(rng.normal(size=8)), Embedded(rng.normal(size=8)))


def scored_pairs(name: str, split: str, sources: Sources) -> Iterator[Example]:
    """The examples of one of the seven sets; UsageError for a split that it does not have.

    A pair that a later split asks again leaves the earlier one, so that the test stays whole.
    """
    offered = ("test",) if name in YEARLY else SPLITS
    if split not in offered:
        raise UsageError(f"embedding/{name} has no split {split!r}; it has {', '.join(offered)}.")
    rows = list(enumerate(sources.rows(dataset(name), split)))
    if name in YEARLY:
        for number, row in rows:
            if str(row["year"]) == f"20{name[-2:]}":
                yield _example(f"{name}-{number}", row, {"subset": str(row["subset"])})
        return
    later = SPLITS[SPLITS.index(split) + 1 :]
    held = {_sentences(row) for part in later for row in sources.rows(dataset(name), part) if _of(row, part)}
    for number, row in rows:
        if _of(row, split) and _sentences(row) not in held:
            kind = row.get("genre") if name == "stsb" else row.get("entailment")
            yield _example(f"{name}-{split}-{number}", row, {"subset": str(kind)} if kind else {})


def dataset(name: str) -> Dataset:
    """The data set that holds the pairs of one of the seven sets."""
    return {"stsb": BENCHMARK, "sickr": RELATEDNESS}.get(name, YEARS)


def _of(row: Mapping[str, Any], split: str) -> bool:
    # a split on the hub is a file of its own and has no column for it
    return str(row.get("split", STORED[split][0])) in STORED[split]


def _sentences(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["sentence1"]), str(row["sentence2"])


def _example(identifier: str, row: Mapping[str, Any], tags: dict[str, str]) -> Example:
    try:
        score = float(row["score"])
    except ValueError as problem:
        raise DataError(f"pair {identifier}: the score {row['score']!r} is not a number.") from problem
    if not 0.0 <= score <= HIGHEST:
        raise DataError(f"pair {identifier}: the score {score} is not between 0 and {HIGHEST:g}.")
    return Example(identifier, tuple(Embed(text) for text in _sentences(row)), score, tags)
