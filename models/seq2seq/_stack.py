"""How do recurrent layers stand on each other? With residual sums, a bidirectional bottom layer, and clipped cells."""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

# B rows, T positions, D width, F width of a layer's input
Cell = Literal["gru", "lstm"]
RESIDUAL_FROM = 2  # the third layer, GNMT's figure 2


@final
class Stack(nn.Module):
    """`depth` layers of GRU or LSTM; layer l reads layer l - 1 and, where given, a context at every position.

    A layer's input is added to its output from the third layer upwards (the context is not). A finite `clip` holds LSTM
    cells and the outputs between layers within [-clip, clip] (Wu et al. 2016, equations 10 to 12). `below` counts the
    layers of another stack under this one.
    """

    def __init__(
        self,
        cell: Cell,
        inputs: int,
        width: int,
        depth: int,
        dropout: float,
        bidirectional: bool = False,
        residual: bool = False,
        *,
        extra: int = 0,
        below: int = 0,
    ) -> None:
        super().__init__()
        self.states = 1 if cell == "gru" else 2  # tensors that one layer remembers
        self.bidirectional, self.residual, self.below = bidirectional, residual, below
        self.clip = math.inf
        self.dropout = nn.Dropout(dropout)
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.layers = nn.ModuleList()
        for layer in range(depth):
            both = bidirectional and layer == 0
            self.layers.append(
                kind(
                    (inputs if layer == 0 else width) + extra,
                    width // 2 if both else width,
                    batch_first=True,
                    bidirectional=both,
                )
            )

    def forward(
        self,
        x_BTD: Tensor,
        state: tuple[Tensor, ...] = (),
        *,
        lengths: Tensor | None = None,
        context_BTD: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Outputs [B, T, D] and every layer's last states [B, D], those of a row's own last position."""
        after: list[Tensor] = []
        for place, layer in enumerate(self.layers):
            before = state[place * self.states : (place + 1) * self.states]
            inputs = x_BTD if context_BTD is None else torch.cat([x_BTD, context_BTD], -1)
            run = self._packed if lengths is not None else self._clipped if self._clips(layer) else self._plain
            out_BTD, last = run(layer, inputs, before, lengths)
            after += last
            if self.residual and place + self.below >= RESIDUAL_FROM:
                out_BTD = out_BTD + x_BTD
            if self.clip < math.inf:
                out_BTD = out_BTD.clamp(-self.clip, self.clip)
            x_BTD = out_BTD if place == len(self.layers) - 1 else self.dropout(out_BTD)
        return x_BTD, tuple(after)

    def _clips(self, layer: nn.Module) -> bool:
        return self.clip < math.inf and isinstance(layer, nn.LSTM)

    def _plain(
        self, layer: nn.Module, x_BTF: Tensor, before: tuple[Tensor, ...], lengths: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        start = tuple(part[None].contiguous() for part in before)
        out_BTD, last = layer(x_BTF, start[0] if self.states == 1 and start else start or None)
        return out_BTD, [_merged(part) for part in (last if self.states == 2 else (last,))]

    def _packed(
        self, layer: nn.Module, x_BTF: Tensor, before: tuple[Tensor, ...], lengths: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        assert lengths is not None
        if self._clips(layer):
            return self._both_clipped(layer, x_BTF, lengths)
        packed = pack_padded_sequence(x_BTF, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = layer(packed)
        out_BTD, _ = pad_packed_sequence(states, batch_first=True, total_length=x_BTF.shape[1])
        return out_BTD, [_merged(part) for part in (last if self.states == 2 else (last,))]

    def _clipped(
        self, layer: nn.Module, x_BTF: Tensor, before: tuple[Tensor, ...], lengths: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        h_BD, c_BD = before or (_zeros(layer, x_BTF),) * 2
        out_BTD, h_BD, c_BD = clipped_lstm(layer, x_BTF, h_BD, c_BD, self.clip, "", None)
        return out_BTD, [h_BD, c_BD]

    def _both_clipped(self, layer: nn.Module, x_BTF: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tensor]]:
        zero_BD = _zeros(layer, x_BTF)
        found = [clipped_lstm(layer, x_BTF, zero_BD, zero_BD, self.clip, "", lengths)]
        if layer.bidirectional:
            found.append(clipped_lstm(layer, x_BTF, zero_BD, zero_BD, self.clip, "_reverse", lengths))
        out_BTD, h_BD, c_BD = (torch.cat(parts, -1) for parts in zip(*found, strict=True))
        return out_BTD, [h_BD, c_BD]


def clipped_lstm(
    layer: nn.Module, x_BTF: Tensor, h_BD: Tensor, c_BD: Tensor, clip: float, suffix: str, lengths_B: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """One direction of a torch LSTM layer with its cell held in [-clip, clip]; a row's padding changes nothing.

    Returns outputs [B, T, D], zero at padding, and the last states.
    """
    w_in, w_rec = getattr(layer, f"weight_ih_l0{suffix}"), getattr(layer, f"weight_hh_l0{suffix}")
    bias = getattr(layer, f"bias_ih_l0{suffix}") + getattr(layer, f"bias_hh_l0{suffix}")
    projected_BTG = functional.linear(x_BTF, w_in, bias)
    steps = list(range(x_BTF.shape[1]))
    out: dict[int, Tensor] = {}
    for place in reversed(steps) if suffix else steps:
        gates_BG = projected_BTG[:, place] + functional.linear(h_BD, w_rec)
        i, f, z, o = gates_BG.chunk(4, -1)
        cell_BD = (torch.sigmoid(f) * c_BD + torch.sigmoid(i) * torch.tanh(z)).clamp(-clip, clip)
        new_BD = torch.sigmoid(o) * torch.tanh(cell_BD)
        if lengths_B is None:
            h_BD, c_BD = new_BD, cell_BD
            out[place] = new_BD
        else:
            there_B1 = (lengths_B > place)[:, None]
            h_BD, c_BD = torch.where(there_B1, new_BD, h_BD), torch.where(there_B1, cell_BD, c_BD)
            out[place] = new_BD * there_B1
    return torch.stack([out[place] for place in steps], 1), h_BD, c_BD


def _zeros(layer: nn.Module, x_BTF: Tensor) -> Tensor:
    assert isinstance(layer, nn.LSTM)
    return x_BTF.new_zeros(len(x_BTF), layer.hidden_size)


def _merged(states_NBD: Tensor) -> Tensor:
    """The directions of one layer side by side: [1 or 2, B, D] to [B, D or 2 D]."""
    return torch.cat(states_NBD.unbind(0), -1)
