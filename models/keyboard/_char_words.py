"""How a network reads words as characters, looks at their neighbours, and chooses among words that may be meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

# U different words of a batch, B batch, S words of a sentence, T of them decoded at once, K candidates of a word
# M candidates in all, N beam, C characters of a word, F filters, D width, V vocabulary
PAD, BEGIN, UNKNOWN = 0, 1, 2  # the first word ids
SPECIAL = 3
BYTES = 257  # byte b is character b + 1; 0 pads
LONGEST = 24  # bytes of a word that the network reads
FILTERS = ((1, 16), (2, 32), (3, 48), (4, 64))  # (width, number), about a third of Kim et al.'s small model
REACH = 6  # words; offsets further than this share one bias
DIAGONAL = 4.0  # nats of initial attention bias for offset 0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths of the network."""

    vocabulary: int
    width: int
    dropout: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences as places in a list of their different words; `candidates[..., 0]` is the typed word itself."""

    characters_UC: Tensor
    ids_U: Tensor
    typed_BS: Tensor
    capital_BS: Tensor  # 1.0 where the typed word begins with a capital
    candidates_BSK: Tensor  # -1 pads
    lengths_B: Tensor
    meant_BS: Tensor  # the true words, which the decoder has behind it when it is trained
    choice_BS: Tensor  # the candidate that is the true word; -100 beyond a sentence


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

    def forward(self, characters_UC: Tensor) -> Tensor:
        """Vectors [U, D]."""
        embedded = self.embedding(characters_UC).transpose(1, 2)
        # a filter of width w sees a word of n characters at n + w - 1 places; further places are padding
        length = characters_UC.shape[1]
        beyond = torch.arange(length)[None] >= (characters_UC > 0).sum(dim=1, keepdim=True).clamp(min=1)
        maxima = []
        for layer, (size, _) in zip(self.filters, FILTERS, strict=True):
            padding = nn.functional.pad(beyond, (size - 1, 0), value=False)
            maxima.append(layer(embedded).masked_fill(padding[:, None], -torch.inf).amax(dim=2))
        found = torch.tanh(torch.cat(maxima, dim=1))
        gate = torch.sigmoid(self.gate(found))
        return torch.as_tensor(self.out(gate * torch.relu(self.transform(found)) + (1 - gate) * found))


@final
class WordCorrector(nn.Module):
    """Character CNN -> bidirectional GRU over words -> GRU decoder with attention -> softmax over candidate words.

    With v_w = CNN(w) + e_w the vector of word w, typed words x and true words y:
    h = BiGRU(v_x);  s_t = GRU(v_{y_{t-1}}, s_{t-1});  a_tj = softmax_j(s_t W h_j + b(j - t));  c_t = sum_j a_tj h_j;
    f_t = tanh(U [s_t; c_t; h_t; v_{x_t}]);  p(y_t = w) = softmax_{w near x_t}(f_t v_w + r relu(P f_t + Q v_w) + b_w).
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.reader = CharWords(width)
        self.embedding = nn.Embedding(sizes.vocabulary, width, padding_idx=PAD)
        self.capital = nn.Parameter(torch.zeros(width))
        self.encoder = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(width, width, batch_first=True)
        self.query = nn.Linear(width, 2 * width, bias=False)
        self.offset = nn.Embedding(2 * REACH + 1, 1)
        self.merge = nn.Linear(6 * width, width)
        self.asked, self.offered = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.judge = nn.Linear(width, 1, bias=False)
        self.keep = nn.Linear(width, 1)
        self.frequency = nn.Embedding(sizes.vocabulary, 1)
        self.dropout = nn.Dropout(sizes.dropout)
        nn.init.normal_(self.embedding.weight, std=0.1)
        nn.init.zeros_(self.frequency.weight)
        # every typed word answers to one meant word, so attention starts on the diagonal and may learn to leave it
        nn.init.zeros_(self.offset.weight)
        nn.init.constant_(self.offset.weight[REACH], DIAGONAL)

    @torch.no_grad()
    def begin_from(self, counts: Sequence[int]) -> None:
        """Let b_w start at the logarithm of how often each word of the vocabulary occurs, an unknown word's at 0."""
        self.frequency.weight[SPECIAL:, 0] = torch.tensor(counts, dtype=torch.float32).log()

    def vectors(self, characters_UC: Tensor, ids_U: Tensor) -> Tensor:
        """Vectors v [U, D] of words."""
        return torch.as_tensor(self.reader(characters_UC) + self.embedding(ids_U))

    def encode(self, words_UD: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Typed words [B, S, D] and encoder states [B, S, 2D]."""
        x_BSD = words_UD[batch.typed_BS] + batch.capital_BS[..., None] * self.capital
        packed = nn.utils.rnn.pack_padded_sequence(
            self.dropout(x_BSD), batch.lengths_B, batch_first=True, enforce_sorted=False
        )
        states, _ = self.encoder(packed)
        h_BSE, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True, total_length=x_BSD.shape[1])
        return x_BSD, h_BSE

    def features(self, s_BTD: Tensor, first: int, x_BSD: Tensor, h_BSE: Tensor, mask_BS: Tensor) -> Tensor:
        """Features f [B, T, D] of the T places from `first` on."""
        steps, places = s_BTD.shape[1], torch.arange(h_BSE.shape[1])
        offsets_TS = (places[None] - torch.arange(first, first + steps)[:, None]).clamp(-REACH, REACH) + REACH
        scores_BTS = self.query(s_BTD) @ h_BSE.transpose(1, 2) / h_BSE.shape[2] ** 0.5 + self.offset(offsets_TS)[..., 0]
        weights_BTS = scores_BTS.masked_fill(~mask_BS[:, None], -1e9).softmax(dim=2)
        here = slice(first, first + steps)
        seen = torch.cat([s_BTD, weights_BTS @ h_BSE, h_BSE[:, here], x_BSD[:, here]], dim=2)
        return torch.as_tensor(self.dropout(torch.tanh(self.merge(seen))))

    def scores(self, f_BTD: Tensor, words_UD: Tensor, ids_U: Tensor, candidates_BTK: Tensor) -> Tensor:
        """Logits [B, T, K] of the candidates; padding gets -inf."""
        # most of the K places are padding, so only the candidates that there are get a row, M in all
        row_M, place_M, rank_M = (candidates_BTK >= 0).nonzero(as_tuple=True)
        word_M = candidates_BTK[row_M, place_M, rank_M]
        asking_M = row_M * f_BTD.shape[1] + place_M
        look = nn.functional.embedding
        f_MD, asked_MD = (look(asking_M, table.flatten(0, 1)) for table in (f_BTD, self.asked(f_BTD)))
        dotted_M = (f_MD * look(word_M, words_UD)).sum(dim=1)
        judged_M = self.judge(torch.relu(asked_MD + look(word_M, self.offered(words_UD))))[:, 0]
        kept_M = look(asking_M, self.keep(f_BTD).flatten(0, 1))[:, 0] * (rank_M == 0)
        scores_M = dotted_M + judged_M + kept_M + self.frequency(ids_U[word_M])[:, 0]
        empty_BTK = f_BTD.new_full(candidates_BTK.shape, -torch.inf)
        return empty_BTK.index_put((row_M, place_M, rank_M), scores_M)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B, S, K] of each word's candidates given the true words before it."""
        words_UD = self.vectors(batch.characters_UC, batch.ids_U)
        x_BSD, h_BSE = self.encode(words_UD, batch)
        mask_BS = torch.arange(x_BSD.shape[1])[None] < batch.lengths_B[:, None]
        begin_B1D = self.embedding(torch.full((len(x_BSD), 1), BEGIN))
        before_BSD = torch.cat([begin_B1D, words_UD[batch.meant_BS[:, :-1]]], dim=1)
        s_BSD, _ = self.decoder(self.dropout(before_BSD))
        f_BSD = self.features(s_BSD, 0, x_BSD, h_BSE, mask_BS)
        return self.scores(f_BSD, words_UD, batch.ids_U, batch.candidates_BSK)

    @torch.inference_mode()
    def correct(self, batch: Batch, beam: int) -> list[int]:
        """The candidate chosen at each place of a batch's only sentence, by beam search."""
        words_UD = self.vectors(batch.characters_UC, batch.ids_U)
        x_BSD, h_BSE = self.encode(words_UD, batch)
        mask_BS = torch.ones(x_BSD.shape[:2], dtype=torch.bool)
        before_N1D, state = self.embedding(torch.tensor([[BEGIN]])), torch.zeros(1, 1, x_BSD.shape[2])
        totals_N = torch.zeros(1)
        paths: list[list[int]] = [[]]
        for place in range(x_BSD.shape[1]):
            s_N1D, state = self.decoder(before_N1D, state)
            rows = (len(paths), -1, -1)
            f_N1D = self.features(s_N1D, place, x_BSD.expand(*rows), h_BSE.expand(*rows), mask_BS)
            here_NK = batch.candidates_BSK[:, place].expand(len(paths), -1)
            scores_NK = self.scores(f_N1D, words_UD, batch.ids_U, here_NK[:, None])[:, 0].log_softmax(dim=1)
            reached = (totals_N[:, None] + scores_NK).flatten()
            count = min(beam, int(torch.isfinite(reached).sum()))
            totals_N, best_N = reached.topk(count)
            parent_N, choice_N = best_N // here_NK.shape[1], best_N % here_NK.shape[1]
            paths = [
                [*paths[parent], choice] for parent, choice in zip(parent_N.tolist(), choice_N.tolist(), strict=True)
            ]
            state, before_N1D = state[:, parent_N], words_UD[here_NK[0, choice_N]][:, None]
        return paths[0]


def characters(words: Sequence[str]) -> Tensor:
    """Character ids [U, C]."""
    coded = [[byte + 1 for byte in word.encode("utf-8", "surrogatepass")[:LONGEST]] for word in words]
    longest = max(1, *map(len, coded))
    return torch.tensor([row + [0] * (longest - len(row)) for row in coded])
