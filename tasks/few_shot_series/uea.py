"""Whether a model tells the classes of a set of time series apart after a few cases of each."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.errors import DataError, UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example, Label, Labelled, Response
from harness.tasks.few_shot_series._archive import SETS
from harness.tasks.few_shot_series._ts_format import Case, Series, SeriesFile, read

SPLITS = ("train", "test")


@task(
    version=1,
    doors=("label",),
    paper="Bagnall et al. 2018, arXiv:1811.00075 (UEA); Dau et al. 2019, arXiv:1810.07758 (UCR)",
    licence="not stated (UEA/UCR archive, free for research)",
    differs="k training cases a class instead of all of them (k=0); missing values are interpolated for every model",
    chance=0.25,
)
class Uea:
    """`dataset` with `k` training cases a class, drawn by seed; all test cases; accuracy and balanced accuracy.

    The draw hangs on seed, data set and class alone, so every model of a seed sees the same cases, and those of k = 1
    are among those of k = 5. `folder` reads `<dataset>_TRAIN.ts` and `<dataset>_TEST.ts` (or .ts.gz) from a folder of
    your own.

    A class with fewer than k cases gives all it has; a class without any training case stays among the classes, so its
    test cases count as wrong; missing values are interpolated along time (a channel without any value is 0); series
    keep their own lengths. There is no validation split: models select on the training cases.

    Bagnall et al. 2018 (UEA archive); Dau et al. 2019 (UCR archive).
    Differs from the paper: k training cases a class instead of all of them (k=0).
    """

    dataset: str = "BasicMotions"
    k: int = 5  # training cases a class; 0 is all
    folder: Path | None = None

    def __post_init__(self) -> None:
        """Refuse sets that nobody has."""
        if self.k < 0:
            raise ValueError(f"k={self.k}; give 1 or more cases a class, or 0 for all.")
        if self.folder is None and self.dataset not in SETS:
            raise ValueError(f"no pinned data set {self.dataset!r}; give folder=..., or one of {', '.join(SETS)}.")

    @property
    def door(self) -> str:
        """Classes."""
        return "label"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Accuracy, as the archive reports, and the mean over classes."""
        return ("accuracy", "balanced_accuracy")

    @property
    def chance(self) -> float:
        """All classes alike; unknown for a folder that has not been read."""
        return 1 / SETS[self.dataset].classes if self.folder is None else float("nan")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream a split; training cases stand class by class in the order of their draw."""
        if split not in SPLITS:
            raise UsageError(f"few_shot_series/uea has no split {split!r}; it has {', '.join(SPLITS)}.")
        files = {part: _read(self._path(part, sources)) for part in SPLITS}
        classes = _classes(self.dataset, files)
        cases = files[split].cases
        chosen = self._drawn(cases, classes, seed) if split == "train" else range(len(cases))
        for index in chosen:
            target = classes.index(cases[index].label)
            yield Example(f"{split}-{index}", (Label(filled(cases[index].series), len(classes)),), target)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digests of both files: the classes are read from both."""
        if self.folder is None:
            pinned = SETS[self.dataset].dataset(self.dataset)
            return "+".join(sources.digest(pinned, part) for part in SPLITS)
        digests = (hashlib.sha256(self._path(part, sources).read_bytes()).hexdigest() for part in SPLITS)
        return "local:" + "+".join(digests)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """All mass on the target."""
        return (Labelled(np.eye(_classes_of(example))[int(example.target)]),)

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Scores without knowledge."""
        return (Labelled(rng.random(_classes_of(example))),)

    def _path(self, split: str, sources: Sources) -> Path:
        if self.folder is None:
            return sources.path(SETS[self.dataset].dataset(self.dataset), split)
        names = [f"{self.dataset}_{split.upper()}.ts{packed}" for packed in ("", ".gz")]
        found = [self.folder / name for name in names if (self.folder / name).is_file()]
        if not found:
            raise DataError(f"folder={self.folder} holds no {' or '.join(names)}.")
        return found[0]

    def _drawn(self, cases: tuple[Case, ...], classes: tuple[str, ...], seed: int) -> Iterator[int]:
        for number, label in enumerate(classes):
            members = [index for index, case in enumerate(cases) if case.label == label]
            rng = np.random.default_rng([seed, zlib.crc32(self.dataset.encode()), number])
            order = rng.permutation(len(members)).tolist()
            yield from (members[place] for place in (order[: self.k] if self.k else order))


def filled(series_TC: Series) -> Series:
    """Missing values interpolated along time, the nearest one beyond the ends, 0 in a channel without any."""
    gaps_TC = np.isnan(series_TC)
    if not gaps_TC.any():
        return series_TC
    whole_TC = np.zeros_like(series_TC)
    for channel in range(series_TC.shape[1]):
        known = np.flatnonzero(~gaps_TC[:, channel])
        if len(known):
            whole_TC[:, channel] = np.interp(np.arange(len(series_TC)), known, series_TC[known, channel])
    return whole_TC


def _read(path: Path) -> SeriesFile:
    return _read_once(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _read_once(path: Path, changed: int) -> SeriesFile:
    # the two files of one set are asked for by every run on it
    return read(path)


def _classes(name: str, files: dict[str, SeriesFile]) -> tuple[str, ...]:
    train, test = (files[split].classes for split in SPLITS)
    if set(train) != set(test):
        raise DataError(f"{name}: the training file names the classes {train}, the test file {test}.")
    widths = {split: files[split].cases[0].series.shape[1] for split in SPLITS}
    if len(set(widths.values())) > 1:
        raise DataError(f"{name}: {widths['train']} channels in training, {widths['test']} in the test.")
    return train


def _classes_of(example: Example) -> int:
    request = example.requests[0]
    if not isinstance(request, Label):
        raise TypeError(f"few_shot_series asks Label requests, not {type(request).__name__}")
    return request.classes
