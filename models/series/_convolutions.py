"""What do ROCKET and MiniRocket share? Convolutional features of aeon, drawn by seed, under a ridge classifier."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.api.protocols import Meter, Setting
from harness.api.types import Budget
from harness.models.series._cases import Cases, Scorer, SeriesLearner, aeon_version, library
from harness.models.series._ridge import ridge


@dataclass(frozen=True, kw_only=True)
class ConvolutionLearner(SeriesLearner):
    """Abstract: a transform of `kernels` convolutions. Subclasses are final and say which."""

    kernels: int = 10_000  # the papers'

    def __post_init__(self) -> None:
        """Refuse a transform without kernels."""
        if self.kernels < 84:
            raise ValueError(f"kernels={self.kernels}; give 84 or more.")

    @abstractmethod
    def transform(self, module: Any, seed: int) -> Any:
        """The transform, of aeon's module of them."""

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Version of the method and of aeon."""
        return {"version": "1", "aeon": aeon_version()}

    def fitted(self, cases: Cases, *, seed: int, budget: Budget, setting: Setting, meter: Meter) -> Scorer:
        """Draw kernels by seed, and fit the classifier."""
        return ridge(cases, self.transform(library("aeon.transformations.collection.convolution_based"), seed))
