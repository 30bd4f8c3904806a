"""How a network reads and writes words: characters in, a word vocabulary out, attention between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

# B batch, S source words, T target words, C characters of a word, F filters, D width, V vocabulary
PAD, BEGIN, END, UNKNOWN = 0, 1, 2, 3  # the first word ids
BYTES = 257  # byte b is character b + 1; 0 pads
LONGEST = 24  # bytes of a word that the network reads
FILTERS = ((1, 16), (2, 32), (3, 48), (4, 64), (5, 64))  # (width, number), about a third of Kim et al.'s small model
REACH = 6  # words; offsets further than this share one bias
DIAGONAL = 4.0  # nats of initial attention bias for offset 0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths of the network."""

    vocabulary: int
    width: int
    dropout: float


@final
class CharWords(nn.Module):
    """A word's vector from its characters: convolutions, the maximum over time, one highway layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(BYTES, 16, padding_idx=0)
        self.filters = nn.ModuleList(nn.Conv1d(16, number, size, padding=size - 1) for size, number in FILTERS)
        total = sum(number for _, number in FILTERS)
        self.gate, self.transform, self.out = nn.Linear(total, total), nn.Linear(total, total), nn.Linear(total, width)
        # a negative gate bias lets the filters through at first (Srivastava et al. 2015)
        nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, characters_BSC: Tensor) -> Tensor:
        """Vectors [B, S, D]."""
        rows, words, length = characters_BSC.shape
        flat = characters_BSC.reshape(rows * words, length)
        embedded = self.embedding(flat).transpose(1, 2)
        # a filter of width w sees a word of n characters at n + w - 1 places; further places are padding
        beyond = torch.arange(length)[None] >= (flat > 0).sum(dim=1, keepdim=True).clamp(min=1)
        maxima = []
        for layer, (size, _) in zip(self.filters, FILTERS, strict=True):
            padding = nn.functional.pad(beyond, (size - 1, 0), value=False)
            maxima.append(layer(embedded).masked_fill(padding[:, None], -torch.inf).amax(dim=2))
        found = torch.tanh(torch.cat(maxima, dim=1))
        gate = torch.sigmoid(self.gate(found))
        mixed = gate * torch.relu(self.transform(found)) + (1 - gate) * found
        return torch.as_tensor(self.out(mixed)).reshape(rows, words, -1)


@final
class WordCorrector(nn.Module):
    """Character CNN -> bidirectional GRU over words -> GRU decoder with attention -> softmax over words.

    s_t = GRU([e(y_{t-1}); c_{t-1}], s_{t-1});  a_tj = softmax_j(s_t W h_j + b(j - t));  c_t = sum_j a_tj [h_j; x_j];
    p(y_t) = softmax(E tanh(U [s_t; c_t])), with x the character vectors and h the encoder states.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.reader = CharWords(width)
        self.encoder = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.embedding = nn.Embedding(sizes.vocabulary, width, padding_idx=PAD)
        self.decoder = nn.GRUCell(width + 3 * width, 2 * width)
        self.query = nn.Linear(2 * width, 2 * width, bias=False)
        self.offset = nn.Embedding(2 * REACH + 1, 1)
        self.merge = nn.Linear(5 * width, width)
        self.output = nn.Linear(width, sizes.vocabulary)
        self.dropout = nn.Dropout(sizes.dropout)
        # noise keeps the number of words, so attention starts on the diagonal and may learn to leave it
        nn.init.zeros_(self.offset.weight)
        nn.init.constant_(self.offset.weight[REACH], DIAGONAL)

    def encode(self, characters_BSC: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder states [B, S, 2D] and attended values [B, S, 3D]."""
        x_BSD = self.dropout(self.reader(characters_BSC))
        packed = nn.utils.rnn.pack_padded_sequence(x_BSD, lengths_B, batch_first=True, enforce_sorted=False)
        states, _ = self.encoder(packed)
        h_BSE, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True, total_length=characters_BSC.shape[1])
        return h_BSE, torch.cat([h_BSE, x_BSD], dim=2)

    def start(self, values_BSF: Tensor) -> tuple[Tensor, Tensor]:
        """Decoder state and context before the first word."""
        rows, _, width = values_BSF.shape
        return values_BSF.new_zeros(rows, 2 * width // 3), values_BSF.new_zeros(rows, width)

    def step(
        self, word_B: Tensor, place: int, state: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor], mask_BS: Tensor
    ) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
        """One decoder step: the new (state, context), features [B, D], attention weights [B, S]."""
        h_BSE, values_BSF = keys
        hidden_BE = self.decoder(torch.cat([self.embedding(word_B), state[1]], dim=1), state[0])
        offsets_S = (torch.arange(h_BSE.shape[1]) - place).clamp(-REACH, REACH) + REACH
        scores_BS = torch.einsum("be,bse->bs", self.query(hidden_BE), h_BSE) / h_BSE.shape[2] ** 0.5
        scores_BS = scores_BS + self.offset(offsets_S)[:, 0]
        weights_BS = scores_BS.masked_fill(~mask_BS, -1e9).softmax(dim=1)
        context_BF = torch.einsum("bs,bsf->bf", weights_BS, values_BSF)
        features_BD = torch.tanh(self.merge(torch.cat([hidden_BE, context_BF], dim=1)))
        return (hidden_BE, context_BF), features_BD, weights_BS

    def forward(self, characters_BSC: Tensor, lengths_B: Tensor, target_BT: Tensor) -> Tensor:
        """Logits [B, T, V] of each target word given the true words before it."""
        keys = self.encode(characters_BSC, lengths_B)
        mask_BS = torch.arange(characters_BSC.shape[1])[None] < lengths_B[:, None]
        state, word_B, features = self.start(keys[1]), torch.full_like(lengths_B, BEGIN), []
        for place in range(target_BT.shape[1]):
            state, features_BD, _ = self.step(word_B, place, state, keys, mask_BS)
            features.append(features_BD)
            word_B = target_BT[:, place]
        return torch.as_tensor(self.output(self.dropout(torch.stack(features, dim=1))))

    @torch.inference_mode()
    def correct(self, characters_BSC: Tensor, lengths_B: Tensor) -> list[list[tuple[int, int]]]:
        """Greedy words of each row with the source word that each attended to most, up to the end word."""
        keys = self.encode(characters_BSC, lengths_B)
        mask_BS = torch.arange(characters_BSC.shape[1])[None] < lengths_B[:, None]
        state, word_B = self.start(keys[1]), torch.full_like(lengths_B, BEGIN)
        rows: list[list[tuple[int, int]]] = [[] for _ in range(len(lengths_B))]
        open_rows = set(range(len(rows)))
        # noise keeps the number of words; a few more leave room for words that were run together
        for place in range(int(lengths_B.max()) + 4):
            state, features_BD, weights_BS = self.step(word_B, place, state, keys, mask_BS)
            logits_BV = self.output(features_BD)
            logits_BV[:, [PAD, BEGIN]] = -torch.inf
            word_B = logits_BV.argmax(dim=1)
            copied_B = weights_BS.argmax(dim=1)
            for row in sorted(open_rows):
                if int(word_B[row]) == END or place >= int(lengths_B[row]) + 4:
                    open_rows.discard(row)
                else:
                    rows[row].append((int(word_B[row]), int(copied_B[row])))
            if not open_rows:
                break
        return rows


def characters(rows: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
    """Character ids [B, S, C] and word counts [B] of rows of words; a row has at least one word."""
    coded = [[[byte + 1 for byte in word.encode("utf-8", "surrogatepass")[:LONGEST]] for word in row] for row in rows]
    words = max(len(row) for row in coded)
    longest = max((len(word) for row in coded for word in row), default=1)
    ids = torch.zeros(len(rows), words, max(1, longest), dtype=torch.long)
    for index, row in enumerate(coded):
        for place, word in enumerate(row):
            ids[index, place, : len(word)] = torch.tensor(word, dtype=torch.long)
    return ids, torch.tensor([len(row) for row in coded])
