"""How does a series classifier become a learner? Examples to arrays, and class scores back through the `label` door."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import HarnessError, UsageError
from harness.api.protocols import Meter, Setting
from harness.api.types import Budget, Example, Failure, Label, Labelled, Request, Response

# N cases, T time, C channels, K classes

Series = NDArray[np.float64]
Scorer = Callable[[Sequence[Series]], NDArray[np.float64]]  # series [C, T] each -> class scores [N, K]

SHORTEST = 12  # steps; the longest ROCKET kernel has 11 taps


@dataclass(frozen=True, slots=True)
class Cases:
    """The training cases: series [C, T] of their own lengths, classes, and how many classes there are."""

    series: tuple[Series, ...]
    labels: NDArray[np.int64]
    classes: int

    @property
    def longest(self) -> int:
        """Steps of the longest series."""
        return max(series.shape[1] for series in self.series)


class SeriesLearner(ABC):
    """Abstract: a classifier of real-valued series. Subclasses are final and say how to fit one."""

    @abstractmethod
    def fitted(self, cases: Cases, *, seed: int, budget: Budget, setting: Setting, meter: Meter) -> Scorer:
        """Learn from the cases; the result scores series."""

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Version of what is done here, and of the library that does the rest."""
        return {"version": "1"}

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> FittedSeries:
        """Learn from the training cases alone; a validation split is not used."""
        cases = gather(train())
        with meter.span("train", sum(series.shape[1] for series in cases.series)):
            scorer = self.fitted(cases, seed=seed, budget=budget, setting=setting, meter=meter)
        return FittedSeries(scorer, cases)


@final
class FittedSeries:
    """A fitted classifier behind the `label` door."""

    def __init__(self, scorer: Scorer, cases: Cases) -> None:
        self.scorer, self.cases = scorer, cases

    @property
    def identity(self) -> Mapping[str, Any]:
        """What it was fitted on."""
        return {"training_cases": len(self.cases.series), "classes": self.cases.classes}

    def size(self, request: Request) -> int:
        """Time steps."""
        return len(request.sequence) if isinstance(request, Label) else 1

    def label(self, requests: Sequence[Label], *, meter: Meter) -> list[Response]:
        """Class scores for each series; one with missing values or other channels is a Failure."""
        responses: list[Response] = [Failure("no answer")] * len(requests)
        asked: dict[int, Series] = {}
        for index, request in enumerate(requests):
            series = np.asarray(request.sequence, dtype=np.float64)
            asked[index] = _channels_first(series)
            wanted = len(self.cases.series[0])
            if not np.isfinite(series).all() or len(asked[index]) != wanted:
                found = "missing values" if len(asked[index]) == wanted else f"{len(asked[index])} channels"
                responses[index] = Failure(f"the model learned {wanted} channels without gaps; this series has {found}")
                del asked[index]
        if asked:
            with meter.span("label", sum(series.shape[1] for series in asked.values())):
                meter.count("model_calls")
                scores_NK = self.scorer(list(asked.values()))
            for index, scores in zip(asked, scores_NK, strict=True):
                responses[index] = Labelled(scores)
        return responses


def gather(examples: Iterator[Example]) -> Cases:
    """The training cases; UsageError for tasks of another kind and for an empty split."""
    series, labels, classes = [], [], 0
    for example in examples:
        request = example.requests[0]
        if not isinstance(request, Label) or request.vocabulary or request.positions:
            raise UsageError(
                "series models learn one class for a whole real-valued series, which this task does not ask."
            )
        found = np.asarray(request.sequence, dtype=np.float64)
        series.append(_channels_first(found))
        if not np.isfinite(series[-1]).all():
            raise HarnessError(f"training case {example.id} has missing values; the task must fill them.")
        labels.append(int(example.target))
        classes = request.classes
    if not series:
        raise UsageError("the task has no training split to learn from.")
    return Cases(tuple(series), np.array(labels), classes)


def stretched(series: Sequence[Series], length: int) -> NDArray[np.float64]:
    """All series on `length` steps, [N, C, length]: linear interpolation; series of that length stay as they are."""
    return np.stack([_stretch(item, length) for item in series])


def by_class(scores_N: NDArray[np.float64], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The best score of each class's cases, [K]; minus infinity for a class without any."""
    best = np.full(classes, -np.inf)
    np.maximum.at(best, labels, scores_N)
    return best


def library(module: str) -> Any:
    """A module of aeon or scikit-learn; UsageError that names the extra where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise UsageError(
            f"series baselines need aeon ({problem}); install it with: pip install 'seqharness[series]'."
        ) from problem


def aeon_version() -> str:
    """Version of aeon, for fingerprints; UsageError where it is not installed."""
    return str(library("aeon").__version__)


def _channels_first(sequence: Series) -> Series:
    # aeon's compiled distances take C-ordered memory only
    return np.ascontiguousarray((sequence if sequence.ndim == 2 else sequence[:, None]).T)


def _stretch(series_CT: Series, length: int) -> Series:
    steps = series_CT.shape[1]
    if steps == length:
        return series_CT
    places = np.linspace(0.0, steps - 1.0, length)
    return np.stack([np.interp(places, np.arange(steps), channel) for channel in series_CT])
