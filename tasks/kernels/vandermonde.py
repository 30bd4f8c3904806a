"""How fast a filter of sums of exponentials is, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.api.registry import task
from harness.tasks.kernels._speed import KernelSpeed


@task(
    version=1,
    doors=("measure",),
    paper="Gu et al. 2022, S4D, arXiv:2206.11893",
    licence="Apache-2.0 (generated)",
    differs="the filter's generation alone, where the paper times whole layers",
)
class Vandermonde(KernelSpeed):
    """Seconds a call of a filter of sums of exponentials, and its distance from the definition.

    Differs from the paper: the filter's generation alone,
    where the paper times whole layers.
    """

    operation: ClassVar[str] = "vandermonde"

    channels: int = 64
    states: int = 32  # of a channel
    length: int = 16384  # steps of the filter
    case: str = "complex"

    @property
    def size(self) -> Mapping[str, int]:
        """Axis letter -> size."""
        return {"H": self.channels, "N": self.states, "T": self.length}
