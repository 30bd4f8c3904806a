"""What is a Transformer encoder-decoder? Blocks that attend, normalised before; the decoder keeps keys and values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models.seq2seq._network import EncoderDecoder, Stepped, mask_of
from harness.models.seq2seq._units import PAD

# B rows, S source positions, T target positions, P keys, D width, H heads, E width of a head, V vocabulary


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a Transformer encoder-decoder."""

    vocabulary: int
    width: int
    depth: int  # of encoder and decoder each
    heads: int
    hidden: int
    dropout: float


@final
class Heads(nn.Module):
    """softmax(Q K^T / sqrt(E)) V for H heads, whose keys and values may be kept."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def remember(self, x_BPD: Tensor) -> Tensor:
        """Keys and values side by side [B, P, 2 D]."""
        return self.key_value(x_BPD)

    def forward(self, x_BTD: Tensor, kept_BPD: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Output [B, T, D] and the heads' mean weights [B, T, P]; `mask` is true where a query may look."""
        key, value = kept_BPD.chunk(2, -1)
        q, k, v = (self._split(part) for part in (self.query(x_BTD), key, value))
        scores_BHTP = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        weights_BHTP = scores_BHTP.masked_fill(~mask, -torch.inf).softmax(-1)
        mixed_BTD = (weights_BHTP @ v).transpose(1, 2).flatten(2)
        return self.out(mixed_BTD), weights_BHTP.mean(1)

    def _split(self, x_BTD: Tensor) -> Tensor:
        return x_BTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)


@final
class Block(nn.Module):
    """Self-attention, attention on the source (in a decoder), feed-forward; each normalised before and added."""

    def __init__(self, shape: Shape, decodes: bool) -> None:
        super().__init__()
        width = shape.width
        self.own, self.source = Heads(width, shape.heads), Heads(width, shape.heads) if decodes else None
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if decodes else 2))
        self.up, self.down = nn.Linear(width, shape.hidden), nn.Linear(shape.hidden, width)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(
        self,
        x_BTD: Tensor,
        mask: Tensor,
        past_BPD: Tensor | None = None,
        source_BSD: Tensor | None = None,
        source_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Output, all keys and values of the own side, and the weights on the source."""
        normal_BTD = self.norms[0](x_BTD)
        kept_BPD = self.own.remember(normal_BTD)
        if past_BPD is not None:
            kept_BPD = torch.cat([past_BPD, kept_BPD], 1)
        x_BTD = x_BTD + self.dropout(self.own(normal_BTD, kept_BPD, mask)[0])
        weights = None
        if self.source is not None and source_BSD is not None and source_mask is not None:
            added_BTD, weights = self.source(self.norms[1](x_BTD), source_BSD, source_mask)
            x_BTD = x_BTD + self.dropout(added_BTD)
        hidden = self.dropout(functional.relu(self.up(self.norms[-1](x_BTD))))
        return x_BTD + self.dropout(self.down(hidden)), kept_BPD, weights


@final
class Attentive(EncoderDecoder):
    """The network; embeddings of source, target and output are one matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width, padding_idx=PAD)
        self.encoder = nn.ModuleList(Block(shape, decodes=False) for _ in range(shape.depth))
        self.decoder = nn.ModuleList(Block(shape, decodes=True) for _ in range(shape.depth))
        self.encoded, self.decoded = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.output = nn.Linear(shape.width, shape.vocabulary)
        self.output.weight = self.embedding.weight
        self.dropout = nn.Dropout(shape.dropout)
        nn.init.normal_(self.embedding.weight, std=shape.width**-0.5)
        nn.init.zeros_(self.output.bias)
        with torch.no_grad():
            self.embedding.weight[PAD].zero_()
        self.over_source = (True,) * shape.depth
        self.over_target = (True,) * shape.depth

    def encode(self, source_BS: Tensor, lengths_B: Tensor) -> tuple[Tensor, ...]:
        """Each decoder layer's keys and values of the source [B, S, 2 D]."""
        mask = mask_of(lengths_B, source_BS.shape[1])[:, None, None]
        x_BSD = self._embedded(source_BS, torch.zeros_like(lengths_B))
        for block in self.encoder:
            x_BSD, _, _ = block(x_BSD, mask)
        x_BSD = self.encoded(x_BSD)
        return tuple(self._heads(block).remember(x_BSD) for block in self.decoder)

    def begin(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """No keys and values yet."""
        return tuple(part[:, :0] for part in memory)

    def advance(
        self,
        memory: tuple[Tensor, ...],
        mask_BS: Tensor,
        state: tuple[Tensor, ...],
        past_B: Tensor,
        token_B: Tensor,
    ) -> Stepped:
        """One token a row; its key lies last, behind the padding of shorter rows, and is moved to its own place."""
        longest = state[0].shape[1]
        own = torch.cat([mask_of(past_B, longest), torch.ones_like(past_B, dtype=torch.bool)[:, None]], 1)
        x_B1D = self._embedded(token_B[:, None], past_B)
        after: list[Tensor] = []
        weights = None
        rows = torch.arange(len(token_B), device=token_B.device)
        for block, kept, source in zip(self.decoder, state, memory, strict=True):
            x_B1D, every, weights = block(x_B1D, own[:, None, None], kept, source, mask_BS[:, None, None])
            placed = every.clone()
            placed[rows, past_B] = every[:, -1]
            after.append(placed)
        return Stepped(tuple(after), self._logits(x_B1D)[:, 0], None if weights is None else weights[:, 0])

    def forward(self, source_BS: Tensor, lengths_B: Tensor, target_BT: Tensor) -> Tensor:
        """Logits after each target token."""
        memory = self.encode(source_BS, lengths_B)
        source_mask = mask_of(lengths_B, source_BS.shape[1])[:, None, None]
        causal = torch.ones(target_BT.shape[1], target_BT.shape[1], dtype=torch.bool, device=target_BT.device).tril()
        x_BTD = self._embedded(target_BT, torch.zeros_like(lengths_B))
        for block, source in zip(self.decoder, memory, strict=True):
            x_BTD, _, _ = block(x_BTD, causal, None, source, source_mask)
        return self._logits(x_BTD)

    @staticmethod
    def _heads(block: nn.Module) -> Heads:
        assert isinstance(block, Block)
        assert block.source is not None
        return block.source

    def _logits(self, x_BTD: Tensor) -> Tensor:
        return self.output(self.decoded(x_BTD))

    def _embedded(self, ids_BT: Tensor, first_B: Tensor) -> Tensor:
        places_BT = first_B[:, None] + torch.arange(ids_BT.shape[1], device=ids_BT.device)
        scaled_BTD = self.embedding(ids_BT) * math.sqrt(self.shape.width)
        return self.dropout(scaled_BTD + sinusoids(places_BT, self.shape.width))


def sinusoids(places_BT: Tensor, width: int) -> Tensor:
    """sin(t / 10000^(2 i / D)) and cos of the same, side by side [B, T, D]."""
    rates = torch.exp(torch.arange(0, width, 2, device=places_BT.device) * (-math.log(10_000.0) / width))
    angles = places_BT[..., None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1)
