"""How does attention within chunks stay cheap, and how does MEGA gate it? Keys are forgotten at every chunk's border.

What crosses a border comes through the moving average or convolution that made the queries and keys.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models.sequence._mixer import State

# B batch, T new tokens, D width, Z width of queries and keys, V width of values, S positions, C size of a chunk


@final
class GatedChunkAttention(nn.Module):
    """MEGA's unit over the contextual m [B, T, D] of the input x [B, T, D], one head.

    z = silu(W m); q, k = gamma_i z + beta_i; v = silu(W x); r = silu(W m), u = sigmoid(W m);
    y = silu(W m + W (r * softmax(q k^T / sqrt(Z) + bias) v)); the answer is u * (y - x). Weights start at N(0, 0.02).
    """

    def __init__(self, width: int, keys: int, values: int, chunk: int) -> None:
        super().__init__()
        self.sizes = [width, keys, values, width]
        self.chunk = chunk
        self.value = nn.Linear(width, values)
        self.base = nn.Linear(width, sum(self.sizes))
        self.hidden = nn.Linear(values, width, bias=False)
        self.gamma = nn.Parameter(torch.randn(2, keys) * 0.02)
        self.beta = nn.Parameter(torch.zeros(2, keys))
        self.bias = nn.Parameter(torch.randn(chunk) * 0.02)  # by distance
        for layer in (self.value, self.base, self.hidden):
            nn.init.normal_(layer.weight, std=0.02)
        for layer in (self.value, self.base):
            nn.init.zeros_(layer.bias)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """An empty chunk."""
        keys, values = self.gamma.shape[1], self.value.out_features
        kind: Any = {"device": device, "dtype": dtype}
        return {
            "keys": torch.zeros(batch, 0, keys, **kind),
            "values": torch.zeros(batch, 0, values, **kind),
        }

    def forward(self, x_BTD: Tensor, m_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """The answer [B, T, D] and the keys and values of the unfinished chunk."""
        update, shared, reset, hidden = self.base(m_BTD).split(self.sizes, -1)
        z = functional.silu(shared)
        q, k = (z * self.gamma[part] + self.beta[part] for part in (0, 1))
        v = functional.silu(self.value(x_BTD))
        keys = torch.cat([state["keys"].to(k.dtype), k], 1)
        values = torch.cat([state["values"].to(v.dtype), v], 1)
        mixed = within_chunks(q, keys, values, self.bias)
        y = functional.silu(hidden + self.hidden(functional.silu(reset) * mixed))
        done = keys.shape[1] - keys.shape[1] % self.chunk
        kept = {"keys": keys[:, done:].to(state["keys"].dtype), "values": values[:, done:].to(state["values"].dtype)}
        return torch.sigmoid(update) * (y - x_BTD), kept

    def state_bytes(self, length: int) -> int:
        """Keys and values of the unfinished chunk, float32."""
        return 4 * (length % self.chunk) * (self.gamma.shape[1] + self.value.out_features)


def within_chunks(q_BTZ: Tensor, k_BSZ: Tensor, v_BSV: Tensor, bias_C: Tensor) -> Tensor:
    """Causal attention inside chunks of C positions, counted from the first key; queries are the last T positions."""
    chunk, new, all_ = len(bias_C), q_BTZ.shape[1], k_BSZ.shape[1]
    spare = -all_ % chunk

    def cut(x: Tensor, before: int) -> Tensor:
        return functional.pad(x, (0, 0, before, spare)).unflatten(1, (-1, chunk))

    q, k, v = cut(q_BTZ, all_ - new), cut(k_BSZ, 0), cut(v_BSV, 0)
    place = torch.arange(chunk, device=q.device)
    distance = place[:, None] - place
    shift = bias_C[distance.clamp(min=0)].masked_fill(distance < 0, -torch.inf)
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=shift.to(q.dtype))
    return mixed.flatten(1, 2)[:, all_ - new : all_]
