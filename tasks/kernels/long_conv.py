"""How fast a long convolution is, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.api.registry import task
from harness.tasks.kernels._speed import KernelSpeed


@task(
    version=1,
    doors=("measure",),
    paper="Poli et al. 2023, Hyena, arXiv:2302.10866",
    licence="Apache-2.0 (generated)",
    differs="the convolution with a given filter, where the paper times whole operators on an A100",
)
class LongConv(KernelSpeed):
    """Seconds a call of a long convolution, and its distance from the definition.

    Differs from the paper: the convolution with a given filter,
    where the paper times whole operators on an A100.
    """

    operation: ClassVar[str] = "long_conv"

    batch: int = 1
    channels: int = 64
    length: int = 16384  # time steps

    @property
    def size(self) -> Mapping[str, int]:
        """Axis letter -> size."""
        return {"B": self.batch, "H": self.channels, "T": self.length}
