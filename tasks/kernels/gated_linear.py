"""How fast gated linear attention is, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.api.registry import task
from harness.tasks.kernels._speed import KernelSpeed


@task(
    version=1,
    doors=("measure",),
    paper="Dao and Gu 2024, arXiv:2405.21060, figure 10",
    licence="Apache-2.0 (generated)",
    differs="one layer's operation at a size that a CPU can run, where the paper times longer sequences on an A100",
)
class GatedLinear(KernelSpeed):
    """Seconds a call of gated linear attention, and its distance from the definition.

    Differs from the paper: one layer's operation at a size that a CPU can run,
    where the paper times longer sequences on an A100.
    """

    operation: ClassVar[str] = "gated_linear"

    batch: int = 1
    heads: int = 8
    length: int = 2048  # time steps
    key_width: int = 64
    value_width: int = 64

    @property
    def size(self) -> Mapping[str, int]:
        """Axis letter -> size."""
        return {"B": self.batch, "H": self.heads, "T": self.length, "K": self.key_width, "V": self.value_width}
