"""How fast a transducer loss is, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.api.registry import task
from harness.tasks.kernels._speed import KernelSpeed


@task(
    version=1,
    doors=("measure",),
    paper="Graves 2012, arXiv:1211.3711",
    licence="Apache-2.0 (generated)",
    differs="synthetic logits, where the paper trains on TIMIT",
)
class Transducer(KernelSpeed):
    """Seconds a call of a transducer loss, and its distance from the definition.

    Differs from the paper: synthetic logits,
    where the paper trains on TIMIT.
    """

    operation: ClassVar[str] = "transducer"

    batch: int = 8
    length: int = 200  # frames
    places: int = 40  # labels and one
    vocabulary: int = 64

    @property
    def size(self) -> Mapping[str, int]:
        """Axis letter -> size."""
        return {"B": self.batch, "T": self.length, "U": self.places, "V": self.vocabulary}
