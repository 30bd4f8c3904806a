"""How fast a prefix softmax is, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.api.registry import task
from harness.tasks.kernels._speed import KernelSpeed


@task(
    version=1,
    doors=("measure",),
    paper="Feng et al. 2024, arXiv:2405.13956",
    licence="Apache-2.0 (generated)",
    differs="the operation alone, where the paper times whole models",
)
class PrefixSoftmax(KernelSpeed):
    """Seconds a call of a prefix softmax, and its distance from the definition.

    Differs from the paper: the operation alone,
    where the paper times whole models.
    """

    operation: ClassVar[str] = "prefix_softmax"

    batch: int = 1
    heads: int = 8
    length: int = 2048  # time steps
    value_width: int = 64

    @property
    def size(self) -> Mapping[str, int]:
        """Axis letter -> size."""
        return {"B": self.batch, "H": self.heads, "T": self.length, "V": self.value_width}
