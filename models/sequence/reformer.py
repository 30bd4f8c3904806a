"""sequence/reformer: attention among tokens that a random projection hashes together."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, Streaming

# B batch, T time, D width, H heads, E head size, R rounds, N chunks, C tokens of a chunk

SELF = -1e5  # score of a token with itself: chosen only by a token that has nobody else, as published


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Kitaev et al. 2020, Reformer, arXiv:2001.04451",
    differs="an encoder only; projections are drawn once; learned positions are left to the task; residuals are "
    "ordinary rather than reversible",
)
class Reformer(SequenceModel):
    """Queries are keys; hash(x) = argmax [x R; -x R], sort by hash, attend to the own and the previous sorted chunk.

    Rounds are joined by their softmax masses. A chunk as long as the sequence is full attention. Sorting places a
    token by hashes of later tokens too, so that a causal mask over it would still leak: there is no causal form here.
    Differs from the paper: an encoder only; projections are drawn once; learned positions are left to the task;
    residuals are ordinary rather than reversible.
    """

    heads: int = 4
    buckets: int = 8
    chunk: int = 64  # tokens
    rounds: int = 2

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        if site.causal:
            raise UsageError("reformer sorts the whole sequence and has no causal form; choose another model.")
        if site.width % self.heads or self.buckets % 2:
            raise UsageError(f"reformer: heads must divide the width {site.width}, and buckets must be even.")
        return HashedAttention(site.width, self.heads, self.buckets, self.chunk, self.rounds)


@final
class HashedAttention(Mixer):
    """Shared queries and keys, sorted by hash."""

    causal = False
    streaming: Streaming = "none"
    rotations: Tensor

    def __init__(self, width: int, heads: int, buckets: int, chunk: int, rounds: int) -> None:
        super().__init__()
        self.heads, self.chunk = heads, chunk
        self.shared = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.register_buffer("rotations", torch.randn(rounds, width // heads, buckets // 2))

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing can be carried."""
        return {}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Attend in every round, and join the rounds."""
        qk, v = split_heads(self.shared(x_BTD), self.heads), split_heads(self.value(x_BTD), self.heads)
        padding = None if mask_BT is None else ~mask_BT[:, None]
        answers, masses = [], []
        for rotation in self.rotations:
            projected = qk.detach() @ rotation.to(qk.dtype)
            hash_BHT = torch.cat([projected, -projected], -1).argmax(-1)
            if padding is not None:
                # padding sorts behind every token, so that it moves none
                hash_BHT = hash_BHT.masked_fill(padding, rotation.shape[1] * 2)
            y, mass = self._round(qk, v, hash_BHT, padding)
            answers.append(y)
            masses.append(mass)
        weight = torch.softmax(torch.stack(masses), 0)[..., None]
        return self.out(join_heads((weight * torch.stack(answers)).sum(0))), {}

    def _round(self, qk: Tensor, v: Tensor, hash_BHT: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        """Outputs [B, H, T, E] and log masses [B, H, T] of one hashing."""
        time, size = hash_BHT.shape[2], qk.shape[3]
        order = hash_BHT.argsort(dim=-1, stable=True)
        hidden = torch.zeros_like(hash_BHT, dtype=torch.bool) if padding is None else padding.expand_as(hash_BHT)
        spare = -time % self.chunk
        place = torch.nn.functional.pad(order, (0, spare), value=-1).unflatten(2, (-1, self.chunk))
        hidden = torch.nn.functional.pad(hidden.gather(2, order), (0, spare), value=True).unflatten(2, (-1, self.chunk))

        def cut(x: Tensor) -> Tensor:
            ordered = x.gather(2, order[..., None].expand_as(x))
            return torch.nn.functional.pad(ordered, (0, 0, 0, spare)).unflatten(2, (-1, self.chunk))

        q, values = cut(qk), cut(v)
        keys = q / q.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        around = self._with_previous
        score = q @ around(keys, 0.0).mT / math.sqrt(size)
        # the chunk before the first is empty, as is padding
        score = score.masked_fill(around(hidden, True)[..., None, :], -torch.inf)
        score = score.masked_fill(place[..., None] == around(place, -1)[..., None, :], SELF)
        mass = score.logsumexp(-1)
        y = torch.exp(score - mass[..., None]) @ around(values, 0.0)
        back = order.argsort(-1)
        y, mass = y.flatten(2, 3)[:, :, :time], mass.flatten(2)[:, :, :time]
        return y.gather(2, back[..., None].expand_as(y)), mass.gather(2, back)

    @staticmethod
    def _with_previous(x: Tensor, empty: float) -> Tensor:
        before = torch.cat([torch.full_like(x[:, :, :1], empty), x[:, :, :-1]], 2)
        return torch.cat([before, x], 3)
