"""What must an encoder-decoder network offer, whatever it is made of? Teacher forcing, and one token at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.models.seq2seq._units import PAD

# B rows, S source positions, T target positions, D width, V vocabulary


@dataclass(frozen=True, slots=True)
class Stepped:
    """What one more token of each row leads to."""

    state: tuple[Tensor, ...]  # each [B, ...]
    logits_BV: Tensor
    attention_BS: Tensor | None  # weights on the source positions, which sum to 1; None without attention


class EncoderDecoder(nn.Module, ABC):
    """Abstract: an encoder read once, and a decoder that is run over a whole target or token by token.

    `memory` is what the decoder sees of the source: tensors [B, ...], of which those in `over_source` have the source
    positions as their second axis. `state` is what it remembers of its own tokens: tensors [B, ...], of which those in
    `over_target` grow by one along their second axis with every token.
    """

    over_source: tuple[bool, ...] = ()
    over_target: tuple[bool, ...] = ()
    attends: bool = True

    @abstractmethod
    def encode(self, source_BS: Tensor, lengths_B: Tensor) -> tuple[Tensor, ...]:
        """The memory of padded sources of at least one token each."""

    @abstractmethod
    def begin(self, memory: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state before the first token."""

    @abstractmethod
    def advance(
        self,
        memory: tuple[Tensor, ...],
        mask_BS: Tensor,
        state: tuple[Tensor, ...],
        past_B: Tensor,
        token_B: Tensor,
    ) -> Stepped:
        """One token a row; `past_B` counts the tokens that each row's state holds already."""

    @abstractmethod
    def forward(self, source_BS: Tensor, lengths_B: Tensor, target_BT: Tensor) -> Tensor:
        """Logits [B, T, V] after each target token, given all before it and itself; padding at the end is harmless."""


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids [B, S] and lengths [B]; padding at the end."""
    lengths_B = torch.tensor([len(row) for row in rows])
    ids_BS = torch.full((len(rows), int(lengths_B.max())), PAD)
    for place, row in enumerate(rows):
        ids_BS[place, : len(row)] = torch.tensor(list(row), dtype=torch.long)
    return ids_BS, lengths_B


def mask_of(lengths_B: Tensor, longest: int) -> Tensor:
    """[B, S], true where a row has a token."""
    return torch.arange(longest, device=lengths_B.device)[None] < lengths_B[:, None]


def parameters(network: nn.Module) -> int:
    """Trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())
