"""sequence/linformer: attention to a fixed number of mixtures of the keys."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, Streaming
from harness.models.sequence.transformer import rotate

# B batch, T time, D width, H heads, R mixtures, L longest length


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Wang et al. 2020, Linformer, arXiv:2006.04768",
    differs="rotary positions",
)
class Linformer(SequenceModel):
    """y = softmax(Q (E K)^T / sqrt(size)) (F V), with learned E and F [R, L] shared by the heads of a layer.

    Every mixture holds keys of the whole sequence, so there is no causal form and no length beyond the longest
    training sequence. With R = L and E = F = I it is full attention.
    Differs from the paper: rotary positions.
    """

    heads: int = 4
    rank: int = 64  # R (256 in the paper)

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        if site.causal:
            raise UsageError("linformer mixes keys over the whole sequence and has no causal form; choose another.")
        return LowRankAttention(site.width, self.heads, self.rank, max(1, site.length))


@final
class LowRankAttention(Mixer):
    """Attention over mixtures of positions."""

    causal = False
    streaming: Streaming = "none"

    def __init__(self, width: int, heads: int, rank: int, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.pair = nn.Linear(width, 2 * width, bias=False)
        # E and F
        self.mixtures = nn.Parameter(torch.randn(2, rank, length) * rank**-0.5)
        self.out = nn.Linear(width, width, bias=False)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing can be carried."""
        return {}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Mix the keys and values over time, then attend; padding adds nothing to a mixture."""
        time, longest = x_BTD.shape[1], self.mixtures.shape[2]
        if time > longest:
            raise UsageError(f"linformer: {time} tokens, but its mixtures end at {longest}, the longest in training.")
        k, v = (split_heads(part, self.heads) for part in self.pair(x_BTD).chunk(2, -1))
        if mask_BT is not None:
            k, v = (part * mask_BT[:, None, :, None] for part in (k, v))
        k, v = (self.mixtures[part, :, :time] @ whole for part, whole in ((0, rotate(k, 0)), (1, v)))
        q = rotate(split_heads(self.query(x_BTD), self.heads), 0)
        return self.out(join_heads(functional.scaled_dot_product_attention(q, k, v))), {}
