"""What is a recurrent encoder-decoder? A stack reads, a stack writes, and the writer's bottom layer asks for context.

The bottom layer of the decoder sees target tokens alone and its state is the question of the attention; the context is
given to every layer above it (GNMT's arrangement). Nothing then depends on the attention of the step before, so that a
whole target is trained in a few calls instead of one for every token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn

from harness.models.seq2seq._network import EncoderDecoder, Stepped, mask_of
from harness.models.seq2seq._stack import Cell, Stack
from harness.models.seq2seq._units import PAD

# B rows, S source positions, T target positions, D width, A attention width, V vocabulary
LOGITS = 25.0  # largest logit where values are clipped, Wu et al. 2016, equation 11


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes and choices of a recurrent encoder-decoder."""

    vocabulary: int
    width: int
    depth: int
    cell: Cell
    attention: Literal["additive", "none"]
    bidirectional: bool  # the encoder's bottom layer
    reverse: bool  # read the source from its end
    residual: bool  # from the third layer of a stack upwards
    dropout: float


@final
class AdditiveAttention(nn.Module):
    """a_ts = softmax_s(v . tanh(Q q_t + K k_s)); c_t = sum_s a_ts k_s.

    Bahdanau, Cho, Bengio 2015, arXiv:1409.0473.
    """

    def __init__(self, width: int, memory: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(memory, width)
        self.energy = nn.Linear(width, 1, bias=False)

    def forward(
        self, question_BTD: Tensor, keys_BSA: Tensor, memory_BSD: Tensor, mask_BS: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Contexts [B, T, D] and weights [B, T, S]."""
        summed_BTSA = self.query(question_BTD)[:, :, None] + keys_BSA[:, None]
        scores_BTS = self.energy(torch.tanh(summed_BTSA))[..., 0]
        weights_BTS = scores_BTS.masked_fill(~mask_BS[:, None], -torch.inf).softmax(-1)
        return weights_BTS @ memory_BSD, weights_BTS


@final
class Recurrent(EncoderDecoder):
    """The network; embeddings of source, target and output are one matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, depth, attends = shape.width, shape.depth, shape.attention == "additive"
        self.attends, self.limit = attends, math.inf
        self.embedding = nn.Embedding(shape.vocabulary, width, padding_idx=PAD)
        self.encoder = Stack(shape.cell, width, width, depth, shape.dropout, shape.bidirectional, shape.residual)
        self.bottom = Stack(shape.cell, width, width, 1, 0.0)
        self.attention = AdditiveAttention(width, width) if attends else None
        extra = width if attends else 0
        self.upper = Stack(
            shape.cell, width, width, depth - 1, shape.dropout, residual=shape.residual, extra=extra, below=1
        )
        self.merge = nn.Linear(width + extra, width)
        self.output = nn.Linear(width, shape.vocabulary)
        self.output.weight = self.embedding.weight
        self.dropout = nn.Dropout(shape.dropout)
        self._initialise()
        # mask-free memory: states and their keys over the source, then each layer's last state of the encoder
        last = depth * self.encoder.states
        self.over_source = (*((True, True) if attends else ()), *(False for _ in range(last)))
        self.over_target = (False,) * last

    def encode(self, source_BS: Tensor, lengths_B: Tensor) -> tuple[Tensor, ...]:
        """States and keys over the source where there is attention, and the last states of every layer."""
        if self.shape.reverse:
            source_BS = reversed_rows(source_BS, lengths_B)
        embedded_BSD = self.dropout(self.embedding(source_BS))
        states_BSD, last = self.encoder(embedded_BSD, lengths=lengths_B)
        if self.attention is None:
            return last
        return (states_BSD, self.attention.key(states_BSD), *last)

    def begin(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The encoder's last states, layer by layer."""
        return memory[2:] if self.attention is not None else memory

    def advance(
        self,
        memory: tuple[Tensor, ...],
        mask_BS: Tensor,
        state: tuple[Tensor, ...],
        past_B: Tensor,
        token_B: Tensor,
    ) -> Stepped:
        """One token a row."""
        logits_BTV, after, weights_BTS = self._write(memory, mask_BS, state, token_B[:, None])
        return Stepped(after, logits_BTV[:, 0], None if weights_BTS is None else weights_BTS[:, 0])

    def forward(self, source_BS: Tensor, lengths_B: Tensor, target_BT: Tensor) -> Tensor:
        """Logits after each target token."""
        memory = self.encode(source_BS, lengths_B)
        mask_BS = mask_of(lengths_B, source_BS.shape[1])
        return self._write(memory, mask_BS, self.begin(memory), target_BT)[0]

    def clip(self, delta: float) -> None:
        """Hold cells and layer outputs within [-delta, delta], and logits within LOGITS; infinity for no limit."""
        self.limit = delta
        for stack in (self.encoder, self.bottom, self.upper):
            stack.clip = delta

    def _write(
        self, memory: tuple[Tensor, ...], mask_BS: Tensor, state: tuple[Tensor, ...], target_BT: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
        embedded_BTD = self.dropout(self.embedding(target_BT))
        parts = self.bottom.states
        asked_BTD, bottom = self.bottom(embedded_BTD, state[:parts])
        context_BTD, weights_BTS = None, None
        if self.attention is not None:
            context_BTD, weights_BTS = self.attention(asked_BTD, memory[1], memory[0], mask_BS)
        written_BTD, upper = self.upper(self.dropout(asked_BTD), state[parts:], context_BTD=context_BTD)
        both = written_BTD if context_BTD is None else torch.cat([written_BTD, context_BTD], -1)
        features_BTD = self.dropout(torch.tanh(self.merge(both)))
        logits_BTV = self.output(features_BTD)
        if self.limit < math.inf:
            logits_BTV = logits_BTV.clamp(-LOGITS, LOGITS)
        return logits_BTV, (*bottom, *upper), weights_BTS

    def _initialise(self) -> None:
        with torch.no_grad():
            # tied to the output: a unit-normal start would make the first logits enormous
            nn.init.normal_(self.embedding.weight, std=self.shape.width**-0.5)
            self.embedding.weight[PAD].zero_()
            nn.init.zeros_(self.output.bias)


def reversed_rows(ids_BS: Tensor, lengths_B: Tensor) -> Tensor:
    """Each row's tokens from last to first; padding stays at the end."""
    places_BS = torch.arange(ids_BS.shape[1], device=ids_BS.device)[None]
    mirrored_BS = torch.where(places_BS < lengths_B[:, None], lengths_B[:, None] - 1 - places_BS, places_BS)
    return ids_BS.gather(1, mirrored_BS)
