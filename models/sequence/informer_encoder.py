"""sequence/informer_encoder: attention for the few queries that would use it, with distilling between layers."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, Streaming
from harness.models.sequence.transformer import rotate

# B batch, T new tokens, S all tokens, H heads, E head size, U sampled keys or chosen queries, D width

SAMPLES = 4096  # fixed random numbers from which every position draws its keys


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Zhou et al. 2020, Informer, arXiv:2012.07436",
    differs="distilling shortens keys and values only, since the backbone keeps its length; rotary positions; "
    "sampled keys are fixed by position; no batch normalisation; causal fallback is a mean, not a sum",
)
class InformerEncoder(SequenceModel):
    """M(q) = max_j q k_j - mean_j q k_j over sampled keys; the factor ceil(ln L) queries of largest M attend.

    The others answer the mean of V. With `distil`, every layer but the first attends to keys and values convolved
    (3 taps around a ring: before the first token stands the last), through ELU and max-pooled (3, by steps of 2).

    Causal: a query is chosen by its rank among the queries before it, from keys before it; the published code ranks
    among all queries and samples later keys, which leaks. The others answer the mean of V so far.
    Differs from the paper: distilling shortens keys and values only, since the backbone keeps its length; rotary
    positions; sampled keys are fixed by position; no batch normalisation; causal fallback is a mean, not a sum.
    """

    heads: int = 4
    factor: int = 5
    distil: bool = True
    causal: bool = False

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        if self.causal or site.causal:
            return CausalProbSparse(site.width, self.heads, self.factor)
        return ProbSparse(site.width, self.heads, self.factor, self.distil and site.layer > 0)


def budget(factor: int, lengths: Tensor) -> Tensor:
    """How many of `lengths` tokens are sampled or chosen: factor ceil(ln L), at least 1 and at most L."""
    wanted = factor * torch.ceil(torch.log(lengths.double().clamp(min=1)) - 1e-12)
    return torch.minimum(wanted.long().clamp(min=1), lengths)


def measure(q_BHTE: Tensor, k_BHSE: Tensor, seen_BT: Tensor, factor: int, draws: Tensor) -> Tensor:
    """M [B, H, T] of each query over keys sampled from the first `seen` ones; draws [T, U] lie in 0..1."""
    count_BT = budget(factor, seen_BT)
    # with as many samples as keys, every key is taken once
    place = torch.arange(draws.shape[1], device=draws.device)
    drawn = (draws * seen_BT[..., None]).long()
    index = torch.where((count_BT == seen_BT)[..., None], place.expand_as(drawn), drawn)
    index = torch.minimum(index, seen_BT[..., None] - 1).clamp(min=0)
    used = (place < count_BT[..., None])[:, None]
    gathered = torch.stack([row[:, which] for row, which in zip(k_BHSE, index, strict=True)])
    score = torch.einsum("bhte,bhtue->bhtu", q_BHTE, gathered)
    highest = score.masked_fill(~used, -torch.inf).amax(-1)
    return highest - (score * used).sum(-1) / seen_BT[:, None].clamp(min=1)


@final
class ProbSparse(Mixer):
    """The encoder's layer."""

    causal = False
    streaming: Streaming = "none"
    draws: Tensor

    def __init__(self, width: int, heads: int, factor: int, distil: bool) -> None:
        super().__init__()
        self.heads, self.factor = heads, factor
        self.query = nn.Linear(width, width)
        self.pair = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.distil = nn.Conv1d(width, width, 3, stride=3) if distil else None
        self.register_buffer("draws", torch.rand(SAMPLES))

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing can be carried."""
        return {}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Choose queries, attend with them."""
        valid = torch.ones(x_BTD.shape[:2], dtype=torch.bool, device=x_BTD.device) if mask_BT is None else mask_BT
        memory, kept = self._distilled(x_BTD, valid)
        q = split_heads(self.query(x_BTD), self.heads)
        k, v = (split_heads(part, self.heads) for part in self.pair(memory).chunk(2, -1))
        stride = 2 if self.distil is not None else 1
        q, k = rotate(q, 0), rotate_by(k, stride)
        total, rows = kept.sum(1), valid.sum(1)
        wide = int(budget(self.factor, total).max()) if len(total) else 1
        draws = spread(self.draws, torch.arange(x_BTD.shape[1], device=x_BTD.device), wide)
        rank = measure(q, k, total[:, None].expand_as(valid), self.factor, draws).masked_fill(
            ~valid[:, None], -torch.inf
        )
        chosen = budget(self.factor, rows)
        index = rank.topk(int(chosen.max()), -1).indices
        seen = kept[:, None, None]
        part = q.gather(2, index[..., None].expand(-1, -1, -1, q.shape[3]))
        attended = functional.scaled_dot_product_attention(part, k, v, attn_mask=seen)
        mean = (v * kept[:, None, :, None]).sum(2, keepdim=True) / total[:, None, None, None].clamp(min=1)
        lazy = mean.expand(-1, -1, x_BTD.shape[1], -1)
        counted = (torch.arange(index.shape[2], device=index.device) < chosen[:, None])[:, None, :, None]
        where = index[..., None].expand_as(attended)
        y = lazy.scatter(2, where, torch.where(counted, attended, lazy.gather(2, where)))
        return self.out(join_heads(y)), {}

    def _distilled(self, x_BTD: Tensor, valid_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Keys' source and which of it is valid; each row is a ring of its own length."""
        if self.distil is None:
            return x_BTD, valid_BT
        place, lengths_B1 = (
            torch.arange(x_BTD.shape[1], device=x_BTD.device),
            valid_BT.sum(1, keepdim=True).clamp(min=1),
        )
        around = torch.stack([(place + step) % lengths_B1 for step in (-1, 0, 1)], 2).flatten(1)
        threes = x_BTD.gather(1, around[..., None].expand(-1, -1, x_BTD.shape[2])).transpose(1, 2)
        folded = functional.elu(self.distil(threes)).masked_fill(~valid_BT[:, None], -torch.inf)
        pooled, kept = functional.max_pool1d(folded, 3, 2, 1), valid_BT[:, ::2]
        return torch.where(kept[:, None], pooled, 0.0).transpose(1, 2), kept


@final
class CausalProbSparse(Mixer):
    """The causal form: ranks and samples look back only, so that nothing leaks."""

    streaming: Streaming = "linear"
    draws: Tensor

    def __init__(self, width: int, heads: int, factor: int) -> None:
        super().__init__()
        self.heads, self.factor = heads, factor
        self.query = nn.Linear(width, width)
        self.pair = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.register_buffer("draws", torch.rand(SAMPLES))

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Empty keys, values and ranks."""
        kind: Any = {"device": device, "dtype": dtype}
        empty = torch.zeros(batch, self.heads, 0, self.out.in_features // self.heads, **kind)
        return {"keys": empty, "values": empty, "measures": empty[..., 0]}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Rank each new query among those before it; the chosen attend to their past."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        done, new = state["keys"].shape[2], x_BTD.shape[1]
        q = rotate(split_heads(self.query(x_BTD), self.heads), done)
        k, v = (split_heads(part, self.heads) for part in self.pair(x_BTD).chunk(2, -1))
        k, v = torch.cat([state["keys"], rotate(k, done)], 2), torch.cat([state["values"], v], 2)
        if not new:
            return x_BTD, state
        place = torch.arange(done, done + new, device=x_BTD.device)
        draws = spread(self.draws, place, int(budget(self.factor, place[-1:] + 1)))
        fresh = measure(q, k, (place + 1).expand(len(x_BTD), -1), self.factor, draws)
        measures = torch.cat([state["measures"], fresh.to(state["measures"].dtype)], 2)
        later = torch.ones(new, done + new, dtype=torch.bool, device=x_BTD.device).triu(done + 1)
        better = (measures[:, :, None] > measures[:, :, done:, None]) & ~later
        chosen = better.sum(-1) < budget(self.factor, place + 1)
        lazy = v.cumsum(2)[:, :, done:] / (place + 1)[:, None]
        # only the chosen attend: as many as the row with most of them
        index = chosen.int().topk(int(chosen.sum(-1).max()), -1).indices
        part = q.gather(2, index[..., None].expand(-1, -1, -1, q.shape[3]))
        attended = functional.scaled_dot_product_attention(part, k, v, attn_mask=~later[index])
        attended = lazy.scatter(2, index[..., None].expand_as(attended), attended)
        y = torch.where(chosen[..., None], attended, lazy)
        return self.out(join_heads(y)), {"keys": k, "values": v, "measures": measures}

    def state_bytes(self, length: int) -> int:
        """Keys, values and a measure a head of every token, float32."""
        return 4 * length * (2 * self.out.in_features + self.heads)


def rotate_by(k_BHSE: Tensor, stride: int) -> Tensor:
    """Rotary positions 0, stride, 2 stride ..., so that pooled keys stand where they came from."""
    stretched = k_BHSE.repeat_interleave(stride, 2)
    return rotate(stretched, 0)[:, :, ::stride]


def spread(draws: Tensor, place_T: Tensor, wide: int) -> Tensor:
    """Random numbers in 0..1 [T, U] that depend on position and sample alone."""
    sample = torch.arange(wide, device=place_T.device)
    # 1009 is prime to the table's size, so that neighbours draw differently
    return draws[(place_T[:, None] * 1009 + sample * 31) % math.prod(draws.shape)]
