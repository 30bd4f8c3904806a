"""sequence/linear_attention: softmax attention with the kernel elu + 1, which makes it a recurrent network."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import carried, empty_memory, join_heads, packed, split_heads
from harness.models.sequence._mixer import Mixer, Site, State

# B batch, T time, D width, H heads

gated_linear = operation("gated_linear")


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Katharopoulos et al. 2020, arXiv:2006.16236",
    differs="no constant in the denominator, which phi keeps positive; no positions are added, so that order is "
    "heard through causality alone",
)
class LinearAttention(SequenceModel):
    """y_t = phi(q_t) S_t / (phi(q_t) . n_t), S_t = sum of phi(k) v^T, n_t = sum of phi(k), phi(x) = elu(x) + 1.

    Differs from the paper: no constant in the denominator, which phi keeps positive; no positions are
    added, so that order is heard through causality alone.
    """

    heads: int = 4

    def mixer(self, site: Site) -> Mixer:
        """One attention layer."""
        return KernelAttention(site.width, self.heads)


@final
class KernelAttention(Mixer):
    """Causal linear attention on the matrix-memory kernel, without decay."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing written."""
        size = self.out.in_features // self.heads
        return empty_memory(batch, (self.heads, size, size), device, dtype, "sum")

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Write and read the new tokens."""
        q, k, v = (split_heads(part, self.heads) for part in self.project(x_BTD).chunk(3, -1))
        q, k = functional.elu(q) + 1, functional.elu(k) + 1
        keep = q.new_zeros(q.shape[:3])
        y_BHTE, last = gated_linear(q, k, v, keep, None, carried(state), "sum")
        return self.out(join_heads(y_BHTE)), packed(last)
