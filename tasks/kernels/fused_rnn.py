"""How fast a recurrent network with resident weights is, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.api.registry import task
from harness.tasks.kernels._speed import KernelSpeed


@task(
    version=1,
    doors=("measure",),
    paper="Poeppel et al. 2024, FlashRNN, arXiv:2412.07752",
    licence="Apache-2.0 (generated)",
    differs="one head of 64 at the paper's 1024 steps and batch of 16, where the paper splits 768 channels on an H100",
)
class FusedRnn(KernelSpeed):
    """Seconds a call of a recurrent network with resident weights, and its distance from the definition.

    Differs from the paper: one head of 64 at the paper's 1024 steps and batch of 16,
    where the paper splits 768 channels on an H100.
    """

    operation: ClassVar[str] = "fused_rnn"

    batch: int = 16
    length: int = 1024  # time steps
    heads: int = 1
    width: int = 64  # of a head, and of the input where the case projects one

    @property
    def size(self) -> Mapping[str, int]:
        """Axis letter -> size."""
        return {"B": self.batch, "T": self.length, "H": self.heads, "D": self.width, "I": self.width}
