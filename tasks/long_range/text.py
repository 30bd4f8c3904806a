"""Whether a film review is favourable, read byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Label, Labelled, Response
from harness.tasks.long_range._drawn import one_hot
from harness.tasks.long_range._reference import transformer_parameters
from harness.tasks.long_range._stored import part, shuffled

IMDB = Dataset(
    name="imdb",
    files={
        "train": DataFile("imdb/train.parquet", "c2a180e53d29fef68f183ee6705505706932f2081e9a49c05bf31e1dd3a519d9"),
        "test": DataFile("imdb/test.parquet", "191cf6383b5254c9e0ee9fcfce72ae339e794d3f5c905768f063ced52653a84d"),
    },
    columns=("text", "label"),
    licence="not stated",
    hub=HubData(id="stanfordnlp/imdb", splits={"train": "train", "test": "test"}),
)
VOCABULARY = 257  # bytes, and 0 for nothing: byte b is id b + 1
HELD_OUT = 10  # percent of the training reviews


@task(
    version=1,
    doors=("label",),
    paper="Maas et al. 2011; Tay et al. 2021 (LRA), arXiv:2011.04006",
    licence="not stated (IMDb reviews, research use)",
    differs="validation is a tenth of the training split, where LRA validates on test",
    chance=0.5,
)
class Text:
    """IMDb reviews as bytes, cut at `length`; favourable or not. The published base Transformer reaches 64.27 %.

    Reviews that occur in both official splits stay in test and leave training. `train` and `test` (0: all) keep a
    random part, the same for every model.
    Differs from the paper: validation is a tenth of the training split; the release selects on test.
    """

    length: int = 4_000  # bytes
    train: int = 0  # reviews
    validation: int = 0  # reviews
    test: int = 0  # reviews

    def __post_init__(self) -> None:
        """Refuse sizes that make no sense."""
        if self.length < 1 or min(self.train, self.validation, self.test) < 0:
            raise ValueError("text needs length >= 1 and sizes of 0 (all) or more.")

    @property
    def reference_parameters(self) -> int:
        """Size of the base Transformer of the release."""
        return transformer_parameters(vocabulary=VOCABULARY, classes=2, width=256, inner=256, mlp=1024, layers=4)

    @property
    def door(self) -> str:
        """Two classes."""
        return "label"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Accuracy."""
        return ("accuracy",)

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream a split in an order that is fixed for all seeds; files are sorted by class."""
        if split not in ("train", "validation", "test"):
            raise UsageError(f"long_range/text has no split {split!r}; it has train, validation, test.")
        wanted, given = getattr(self, split), 0
        known = {row["text"] for row in sources.rows(IMDB, "test")} if split != "test" else set()
        seen: set[str] = set()
        stored = enumerate(sources.rows(IMDB, "test" if split == "test" else "train"))
        for index, row in shuffled(stored, 0):
            text = row["text"]
            if text in known or text in seen:
                continue
            if split != "test" and part(text, (100 - HELD_OUT, HELD_OUT)) != split:
                continue
            seen.add(text)
            codes = np.frombuffer(text.encode("utf-8", "surrogatepass")[: self.length], np.uint8).astype(np.int64) + 1
            yield Example(f"{split}-{index}", (Label(codes, 2, VOCABULARY),), int(row["label"]))
            given += 1
            if given == wanted:
                return

    def data_digest(self, split: str, sources: Sources) -> str:
        """The files that a split is made from."""
        return sources.digest(IMDB, "test" if split == "test" else "train")

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """All mass on the target."""
        return (Labelled(one_hot(example.target, 2)),)

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Scores without knowledge."""
        return (Labelled(rng.random(2)),)
