"""What is the plain LSTM language model? Words, a stack of LSTM layers, and one decoder or an ensemble of them.

It has two forms of the same numbers: over whole windows for training, and a step at a time with every layer's hidden
and cell state in the open, where test-time correction changes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models.sequence._recurrent import HeadwiseRNN

# B batch, T time, D width, V symbols, L layers, K decoders


@dataclass(frozen=True, slots=True)
class Layers:
    """Hidden and cell state [B, D] of every layer, first to last."""

    hidden: tuple[Tensor, ...]
    cell: tuple[Tensor, ...]

    def tensors(self) -> tuple[Tensor, ...]:
        """Hidden states, then cells."""
        return self.hidden + self.cell

    @staticmethod
    def of(tensors: Sequence[Tensor]) -> Layers:
        """The inverse of `tensors`."""
        half = len(tensors) // 2
        return Layers(tuple(tensors[:half]), tuple(tensors[half:]))


@final
class WordLSTM(nn.Module):
    """p(w_{t+1} | w_1..t) = mean over K decoders of softmax(W_k h_t + b_k), h_t the last LSTM layer's output.

    Each decoder of an ensemble starts at its own anchor, to which `pull` draws it back (Pearce et al. 2018).
    """

    anchors: Tensor

    def __init__(self, symbols: int, width: int, depth: int, dropout: float, decoders: int = 1) -> None:
        super().__init__()
        self.embed = nn.Embedding(symbols, width)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        self.cells = nn.ModuleList(HeadwiseRNN(width, "lstm", forget=1.0) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Parameter(torch.empty(decoders, symbols, width).uniform_(-(width**-0.5), width**-0.5))
        self.bias = nn.Parameter(torch.zeros(decoders, symbols))
        # the anchors must come back with a checkpoint, or the pull would be to other ones
        self.register_buffer("anchors", self.weight.detach().clone() if decoders > 1 else torch.empty(0))

    def forward(self, words_BT: Tensor) -> Tensor:
        """Log-probabilities [K, B, T, V] of the next words, one law a decoder, after an empty start."""
        x_BTD = self.dropout(self.embed(words_BT))
        for cell in self.cells:
            x_BTD = self.dropout(cell(x_BTD)[0])
        logits = torch.einsum("btd,kvd->kbtv", x_BTD, self.weight) + self.bias[:, None, None]
        return functional.log_softmax(logits, -1)

    def loss(self, rows_BT: Tensor, pull: float) -> tuple[Tensor, int]:
        """Mean nats a word over all decoders, plus the pull towards the anchors, and the number of words."""
        laws, targets = self(rows_BT[:, :-1]), rows_BT[:, 1:]
        nats = -laws.gather(-1, targets.expand(len(laws), -1, -1)[..., None]).mean()
        if self.training and self.anchors.numel():
            nats = nats + pull * (self.weight - self.anchors).square().sum() / len(laws)
        return nats, targets.numel()

    def start(self, rows: int) -> Layers:
        """Zeros."""
        zeros = self.embed.weight.new_zeros(rows, self.embed.embedding_dim)
        return Layers((zeros,) * len(self.cells), (zeros,) * len(self.cells))

    def step(self, words_B: Tensor, state: Layers) -> Layers:
        """One word through every layer, in eval mode."""
        x_BD, hidden, cells = self.embed(words_B), [], []
        for layer, h_BD, c_BD in zip(self.cells, state.hidden, state.cell, strict=True):
            assert isinstance(layer, HeadwiseRNN)
            gates = functional.linear(x_BD, layer.project.flatten(0, 2), layer.bias.flatten())
            enter, forget, value, leave = (gates + h_BD @ layer.recurrent.flatten(0, 2).T).chunk(4, -1)
            c_BD = torch.sigmoid(forget) * c_BD + torch.sigmoid(enter) * torch.tanh(value)
            x_BD = torch.sigmoid(leave) * torch.tanh(c_BD)
            hidden.append(x_BD)
            cells.append(c_BD)
        return Layers(tuple(hidden), tuple(cells))

    def law(self, h_BD: Tensor, masks_SD: Tensor | None = None) -> Tensor:
        """Log-probabilities [B, V]: the mean law of all decoders, and of all dropout masks where some are given."""
        h_BSD = h_BD[:, None] if masks_SD is None else h_BD[:, None] * masks_SD
        logits = torch.einsum("bsd,kvd->bskv", h_BSD, self.weight) + self.bias
        laws = functional.log_softmax(logits, -1).flatten(1, 2)
        if laws.shape[1] == 1:
            return laws[:, 0]
        return laws.logsumexp(1) - torch.tensor(float(laws.shape[1]), dtype=laws.dtype).log()
