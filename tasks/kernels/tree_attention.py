"""How fast attention under an explicit mask is, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from harness.api.registry import task
from harness.tasks.kernels._speed import KernelSpeed


@task(
    version=1,
    doors=("measure",),
    paper="Miao et al. 2023, SpecInfer, arXiv:2305.09781",
    licence="Apache-2.0 (generated)",
    differs="the attention of a causal mask, where the paper times whole token trees",
)
class TreeAttention(KernelSpeed):
    """Seconds a call of attention under an explicit mask, and its distance from the definition.

    Differs from the paper: the attention of a causal mask,
    where the paper times whole token trees.
    """

    operation: ClassVar[str] = "tree_attention"

    batch: int = 1
    heads: int = 8
    length: int = 1024  # queries
    key_width: int = 64
    value_width: int = 64
    prefix: int = 7  # keys before the tree, where the case has them

    @property
    def size(self) -> Mapping[str, int]:
        """Axis letter -> size."""
        return {
            "B": self.batch, "H": self.heads, "T": self.length, "D": self.key_width, "E": self.value_width,
            "P": self.prefix,
        }  # fmt: skip
