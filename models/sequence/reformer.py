"""sequence/reformer: attention among tokens that a random projection hashes together."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, Streaming

# B batch, T time, D width, H heads, E head size, R rounds, N chunks, C tokens of a chunk

SELF = -1e5  # score of a token with itself: chosen only by a token that has nobody else, as published


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Kitaev et al. 2020, Reformer, arXiv:2001.04451",
    differs="an encoder only; as released, a chunk's buckets see each other and unit keys take no 1 / sqrt(d) besides; "
    "random projections are drawn once, not at every call; the release's axial positions are added before every "
    "layer's maps, since attention skips the own token; residuals are ordinary rather than reversible",
)
class Reformer(SequenceModel):
    """Queries are keys; hash(x) = argmax [x R; -x R], sort by hash, attend to the own and the previous sorted chunk.

    y_t = sum_s softmax_s(q_t . q_s / |q_s|) v_s, with no further temperature, as released. The rounds' chunks stand in
    a ring: before the first of a round stands the last of the round before. Rounds are joined by their softmax masses.
    Sorting places a token by hashes of later tokens too, so that a causal mask would still leak: no causal form here.
    Positions are axial: half of the channels say the row, half the column, of the training image or of a near square.
    Differs from the paper: an encoder only; as released, a chunk's buckets see each other and unit keys take no
    1 / sqrt(d) besides; random projections are drawn once, not at every call; the release's axial positions are added
    before every layer's maps, since attention skips the own token; residuals are ordinary rather than reversible.
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
            raise UsageError(
                f"reformer: heads={self.heads} must divide the width {site.width}, and buckets={self.buckets} be even."
            )
        return HashedAttention(site, self.heads, buckets=self.buckets, chunk=self.chunk, rounds=self.rounds)


@final
class HashedAttention(Mixer):
    """Shared queries and keys, sorted by hash."""

    causal = False
    streaming: Streaming = "none"
    rotations: Tensor

    def __init__(self, site: Site, heads: int, *, buckets: int, chunk: int, rounds: int) -> None:
        super().__init__()
        width, (rows, columns) = site.width, axes(site)
        self.heads, self.chunk = heads, chunk
        self.rows = nn.Parameter(torch.randn(rows, width // 2))  # N(0, 1), as released
        self.columns = nn.Parameter(torch.randn(columns, width - width // 2))
        self.shared = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.register_buffer("rotations", torch.randn(rounds, heads, width // heads, buckets // 2))

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing can be carried."""
        return {}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Attend in every round, and join the rounds."""
        x_BTD = x_BTD + self.positions(x_BTD.shape[1])
        valid_BT = torch.ones_like(x_BTD[..., 0], dtype=torch.bool) if mask_BT is None else mask_BT
        qk, v = split_heads(self.shared(x_BTD), self.heads), split_heads(self.value(x_BTD), self.heads)
        order_BHRT = self._hashes(qk, valid_BT).argsort(dim=-1, stable=True)
        y_BHRTE, mass_BHRT = self._attend(qk, v, order_BHRT, valid_BT)
        back = order_BHRT.argsort(-1)
        weight = torch.softmax(mass_BHRT.gather(3, back), 2)[..., None]
        y_BHTE = (weight * y_BHRTE.gather(3, back[..., None].expand_as(y_BHRTE))).sum(2)
        return self.out(join_heads(y_BHTE)), {}

    def positions(self, time: int) -> Tensor:
        """What is added to the first `time` tokens, [T, D]."""
        limit = len(self.rows) * len(self.columns)
        if time > limit:
            raise UsageError(f"reformer: {time} tokens, but its positions end at {limit}, as in training.")
        place = torch.arange(time, device=self.rows.device)
        return torch.cat([self.rows[place // len(self.columns)], self.columns[place % len(self.columns)]], -1)

    def _hashes(self, qk_BHTE: Tensor, valid_BT: Tensor) -> Tensor:
        """Buckets [B, H, R, T]; padding sorts behind every token, so that it moves none."""
        projected = torch.einsum("bhte,rhes->bhrts", qk_BHTE.detach(), self.rotations.to(qk_BHTE.dtype))
        buckets = torch.cat([projected, -projected], -1).argmax(-1)
        return buckets.masked_fill(~valid_BT[:, None, None], 2 * projected.shape[-1])

    def _attend(self, qk: Tensor, v: Tensor, order: Tensor, valid_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B, H, R, T, E] and log masses [B, H, R, T], in sorted order."""
        (batch, time), rounds = valid_BT.shape, order.shape[2]
        chunks = -(-time // self.chunk)
        before = self._previous(rounds, chunks, valid_BT)

        def cut(part: Tensor, empty: float) -> Tensor:
            spare = (0, 0) * (part.dim() - 4) + (0, chunks * self.chunk - time)
            return functional.pad(part, spare, value=empty).unflatten(3, (chunks, self.chunk)).flatten(2, 3)

        def ordered(x_BHTE: Tensor) -> Tensor:
            repeated = x_BHTE[:, :, None].expand(-1, -1, rounds, -1, -1)
            return cut(repeated.gather(3, order[..., None].expand_as(repeated)), 0.0)

        def around(part: Tensor) -> Tensor:
            return torch.cat([part[torch.arange(batch)[:, None], :, before].transpose(1, 2), part], 3)

        q, values, place = ordered(qk), ordered(v), cut(order, -1)
        hidden = cut(~valid_BT[:, None, None].expand_as(order).gather(3, order), True)
        keys = q * torch.rsqrt(q.square().mean(-1, keepdim=True) + 1e-6) / math.sqrt(q.shape[-1])
        score = (q @ around(keys).mT).masked_fill(around(hidden)[..., None, :], -torch.inf)
        score = score.masked_fill(place[..., None] == around(place)[..., None, :], SELF)
        mass = score.logsumexp(-1)
        y = torch.exp(score - mass[..., None]) @ around(values)
        y, mass = (part.flatten(2, 3).unflatten(2, (rounds, chunks * self.chunk))[:, :, :, :time] for part in (y, mass))
        return y, mass

    def _previous(self, rounds: int, chunks: int, valid_BT: Tensor) -> Tensor:
        """Which chunk stands before each, [B, R N]: a row's ring leaves out chunks that hold padding alone."""
        used_B1 = (-(-valid_BT.sum(1, keepdim=True) // self.chunk)).clamp(min=1)
        place = torch.arange(rounds * chunks, device=valid_BT.device)
        last = (place // max(1, chunks) - 1) % rounds * chunks + used_B1 - 1
        return torch.where(place % max(1, chunks) == 0, last, place - 1)


def axes(site: Site) -> tuple[int, int]:
    """Rows and columns that positions count: of the training image, else of the least near-square that holds it."""
    if len(site.grid) == 2:
        return site.grid[0], site.grid[1]
    columns = math.isqrt(max(1, site.length) - 1) + 1
    return -(-max(1, site.length) // columns), columns
