"""How fast a causal convolution is, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.api.registry import task
from harness.tasks.kernels._speed import KernelSpeed


@task(
    version=1,
    doors=("measure",),
    paper="Terzic et al. 2023, arXiv:2312.05605",
    licence="Apache-2.0 (generated)",
    differs="the operation alone, where the paper times whole layers on a GPU",
)
class CausalConv(KernelSpeed):
    """Seconds a call of a causal convolution, and its distance from the definition.

    Differs from the paper: the operation alone,
    where the paper times whole layers on a GPU.
    """

    operation: ClassVar[str] = "causal_conv"

    batch: int = 4
    channels: int = 64
    length: int = 8192  # time steps
    taps: int = 17

    @property
    def size(self) -> Mapping[str, int]:
        """Axis letter -> size."""
        return {"B": self.batch, "C": self.channels, "T": self.length, "J": self.taps}
