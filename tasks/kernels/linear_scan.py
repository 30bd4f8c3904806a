"""How fast a linear scan is, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.api.registry import task
from harness.tasks.kernels._speed import KernelSpeed


@task(
    version=1,
    doors=("measure",),
    paper="Gu and Dao 2023, arXiv:2312.00752, figure 8",
    licence="Apache-2.0 (generated)",
    differs="the operation alone, on whatever machine runs it, where the paper times Mamba's fused scan on an A100",
)
class LinearScan(KernelSpeed):
    """Seconds a call of a linear scan, and its distance from the definition.

    Differs from the paper: the operation alone, on whatever machine runs it,
    where the paper times Mamba's fused scan on an A100.
    """

    operation: ClassVar[str] = "linear_scan"

    batch: int = 8
    length: int = 4096  # time steps
    channels: int = 64

    @property
    def size(self) -> Mapping[str, int]:
        """Axis letter -> size."""
        return {"B": self.batch, "T": self.length, "N": self.channels}
