"""What an image shows, read pixel by pixel."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Label, Labelled, Response
from harness.tasks.long_range._drawn import one_hot
from harness.tasks.long_range._reference import transformer_parameters
from harness.tasks.long_range._stored import shuffled

FOLDER = "small_images"
DIGITS = Dataset(
    name="digits",
    files={
        "all": DataFile(f"{FOLDER}/digits.csv.gz", "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22")
    },
    licence="BSD-3-Clause",
)
MNIST = Dataset(
    name="mnist",
    files={
        "images": DataFile(
            f"{FOLDER}/t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        "labels": DataFile(
            f"{FOLDER}/t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    },
    licence="not stated",
)
CIFAR = Dataset(
    name="cifar10",
    files={},
    columns=("img", "label"),
    licence="not stated",
    hub=HubData(id="uoft-cs/cifar10", splits={"train": "train", "test": "test"}),
)
SPLITS = ("train", "validation", "test")
GREY = (0.299, 0.587, 0.114)  # luma of the three channels, ITU-R BT.601


@task(
    version=1,
    doors=("label",),
    paper="Tay et al. 2021 (LRA), arXiv:2011.04006; Krizhevsky 2009; LeCun et al. 1998",
    licence="not stated (CIFAR-10, MNIST); BSD-3-Clause (digits)",
    differs="grey values as real numbers by default (LRA embeds 256 tokens: pixels=tokens); other sources by parameter",
    chance=0.1,
)
class Image:
    """Ten classes of grey images, flattened row by row.

    `source=cifar10` (the hub) is LRA's task of 1,024 pixels. `digits` (8 x 8 images of scikit-learn, 1,300 for
    training and validation, 497 for test) and `mnist` (the 10,000 test images of MNIST, split 7,000/1,000/2,000)
    run without the hub and are never reported as CIFAR-10. The published base Transformer reaches 42.44 % there.
    Differs from the paper: grey values as real numbers by default; LRA embeds them as 256 tokens.
    """

    source: Literal["cifar10", "mnist", "digits"] = "cifar10"
    pixels: Literal["values", "tokens"] = "values"

    @property
    def reference_parameters(self) -> int:
        """Size of the release's base Transformer for CIFAR-10; 0, no reference, for the other sources."""
        if self.source != "cifar10":
            return 0
        return transformer_parameters(vocabulary=256, classes=10, width=32, inner=32, mlp=64, layers=1, positions=1024)

    @property
    def door(self) -> str:
        """Ten classes."""
        return "label"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Accuracy."""
        return ("accuracy",)

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream a split; which image is in which split is fixed for all seeds."""
        if split not in SPLITS:
            raise UsageError(f"long_range/image has no split {split!r}; it has {', '.join(SPLITS)}.")
        for name, picture, label in self._pictures(split, sources):
            flat = picture.reshape(-1)
            tokens = self.pixels == "tokens"
            sequence = flat.astype(np.int64) if tokens else flat[:, None] / 255.0
            request = Label(sequence, 10, 256 if tokens else 0, shape=picture.shape)
            yield Example(name, (request,), label)

    def data_digest(self, split: str, sources: Sources) -> str:
        """The files behind the source."""
        if self.source == "digits":
            return sources.digest(DIGITS, "all")
        if self.source == "mnist":
            return f"{sources.digest(MNIST, 'images')}+{sources.digest(MNIST, 'labels')}"
        return sources.digest(CIFAR, "test" if split == "test" else "train")

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """All mass on the target."""
        return (Labelled(one_hot(example.target, 10)),)

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Scores without knowledge."""
        return (Labelled(rng.random(10)),)

    def _pictures(self, split: str, sources: Sources) -> Iterator[tuple[str, NDArray[np.uint8], int]]:
        if self.source == "cifar10":
            yield from _cifar(split, sources)
            return
        pictures, labels = _digits(sources) if self.source == "digits" else _mnist(sources)
        sizes = (1_130, 170, 497) if self.source == "digits" else (7_000, 1_000, 2_000)
        start = sum(sizes[: SPLITS.index(split)])
        order = list(shuffled(range(len(labels)), 0))[start : start + sizes[SPLITS.index(split)]]
        for index in order:
            yield f"{self.source}-{index}", pictures[index], int(labels[index])


def _digits(sources: Sources) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with gzip.open(sources.path(DIGITS, "all"), "rt", encoding="utf-8") as opened:
        rows = [row for row in csv.reader(opened) if row and row[0].replace(".", "").isdigit()]
    table = np.array(rows, dtype=np.float64)
    # values of 0..16 spread over a byte
    return (table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8), table[:, 64].astype(np.int64)


def _mnist(sources: Sources) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with gzip.open(sources.path(MNIST, "images")) as opened:
        images = np.frombuffer(opened.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(sources.path(MNIST, "labels")) as opened:
        labels = np.frombuffer(opened.read(), np.uint8, offset=8)
    return images, labels


def _cifar(split: str, sources: Sources) -> Iterator[tuple[str, NDArray[np.uint8], int]]:
    for index, row in enumerate(sources.rows(CIFAR, "test" if split == "test" else "train")):
        # every tenth training image validates, as no official validation split exists
        if split != "test" and (index % 10 == 9) != (split == "validation"):
            continue
        grey = np.asarray(row["img"], dtype=np.float64) @ np.array(GREY)
        yield f"cifar10-{split}-{index}", grey.round().astype(np.uint8), int(row["label"])
