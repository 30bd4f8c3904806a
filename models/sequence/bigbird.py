"""sequence/bigbird: a window, a few tokens for everyone, and a few random keys for each token."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.kernels.tree_attention import _masks as masks
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, Streaming
from harness.models.sequence.transformer import rotate

# B batch, T new tokens, S all tokens, D width, H heads

tree_attention = operation("tree_attention")

CYCLE = 8191  # a prime: positions draw their keys from a table of this length


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Zaheer et al. 2020, BigBird, arXiv:2007.14062",
    differs="causal; single tokens rather than blocks; the mask is dense, so that the cost is that of full "
    "attention and only what is seen differs",
)
class BigBird(SequenceModel):
    """Softmax attention over window | global | random: the last `window` tokens, the first `anchors`, `random` others.

    A token draws its random keys from all tokens before it, by its position alone, for each head anew.
    Differs from the paper: causal; single tokens rather than blocks; the mask is dense, so that the cost is that of
    full attention and only what is seen differs.
    """

    heads: int = 4
    window: int = 64  # tokens
    anchors: int = 2
    random: int = 8  # keys a token

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        return MaskedAttention(site.width, self.heads, (self.window, self.anchors, self.random))


@final
class MaskedAttention(Mixer):
    """Attention under the union of three masks; any earlier key may be drawn later, so all are kept."""

    streaming: Streaming = "linear"
    draws: Tensor

    def __init__(self, width: int, heads: int, sight: tuple[int, int, int]) -> None:
        super().__init__()
        self.heads, self.sight = heads, sight
        self.queries = nn.Linear(width, width, bias=False)
        self.memory = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.register_buffer("draws", torch.rand(heads, CYCLE))

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """No key [B, H, 0, 2E], values beside them."""
        kind: Any = {"device": device, "dtype": dtype}
        return {"pairs": torch.zeros(batch, self.heads, 0, 2 * self.out.in_features // self.heads, **kind)}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Attend under the mask."""
        held = (state or self.start(len(x_BTD), x_BTD.device, x_BTD.dtype))["pairs"]
        done = held.shape[2]
        k, v = (split_heads(part, self.heads) for part in self.memory(x_BTD).chunk(2, -1))
        pairs = torch.cat([held, torch.cat([rotate(k, done), v], -1)], 2)
        keys, values = pairs.chunk(2, -1)
        q = rotate(split_heads(self.queries(x_BTD), self.heads), done)
        visible = self.visible(x_BTD.shape[1], pairs.shape[2]).repeat(len(x_BTD), 1, 1)
        # every head has a mask of its own, so that the kernel sees it as a row
        rows = [part.flatten(0, 1)[:, None].contiguous() for part in (q, keys, values)]
        y = tree_attention(rows[0], rows[1], rows[2], visible).view_as(q)
        return self.out(join_heads(y)), {"pairs": pairs}

    def visible(self, new: int, total: int) -> Tensor:
        """Which of `total` keys the last `new` queries of each head see, [H, T, S]."""
        window, anchors, random = self.sight
        device = str(self.draws.device)
        place = torch.arange(total - new, total, device=device)
        drawn = self.draws[:, (place[:, None] * 1009 + torch.arange(random, device=device) * 31) % CYCLE]
        chosen = (drawn * (place[:, None] + 1)).long()
        mask = torch.zeros(self.heads, new, total, dtype=torch.bool, device=device).scatter(2, chosen, True)
        mask |= masks.window(new, window, total, device=device)
        mask |= masks.everyone(new, tuple(range(min(anchors, total))), total, device=device)
        return mask & masks.causal(new, total, device=device)

    def state_bytes(self, length: int) -> int:
        """Keys and values of every token, float32."""
        return 2 * 4 * length * self.out.in_features
