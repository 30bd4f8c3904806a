"""sequence/local: attention inside chunks that do not overlap."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from harness.api.registry import model
from harness.models.sequence._gated_chunks import within_chunks
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, Streaming
from harness.models.sequence.transformer import rotate

# B batch, T new tokens, D width, H heads, E head size, C tokens of a chunk


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Tay et al. 2020, Long Range Arena, arXiv:2011.04006",
    differs="causal, with rotary positions",
)
class Local(SequenceModel):
    """Causal softmax attention to the tokens of the own chunk only: the benchmark's weakest and cheapest attention.

    Nothing crosses a border, in any layer, so that depth does not widen what a token sees.
    Differs from the paper: causal, with rotary positions.
    """

    heads: int = 4
    chunk: int = 64  # tokens

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        return ChunkAttention(site.width, self.heads, self.chunk)


@final
class ChunkAttention(Mixer):
    """Keys and values of the unfinished chunk are all that is carried."""

    streaming: Streaming = "window"

    def __init__(self, width: int, heads: int, chunk: int) -> None:
        super().__init__()
        self.heads, self.chunk = heads, chunk
        self.maps = nn.Linear(width, 3 * width, bias=False)
        self.leave = nn.Linear(width, width, bias=False)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """An empty chunk [B, H, 2, 0, E]."""
        kind: Any = {"device": device, "dtype": dtype}
        return {"held": torch.zeros(batch, self.heads, 2, 0, self.leave.in_features // self.heads, **kind)}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Attend within the chunks."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        q, k, v = (split_heads(part, self.heads) for part in self.maps(x_BTD).chunk(3, -1))
        begin = state["held"].shape[3]
        fresh = torch.stack([k, v], 2)
        seen = torch.cat([state["held"], fresh], 3)
        keys, values = seen.flatten(0, 1).unbind(1)
        # positions count from the border before the held tokens; keys are held unturned
        flat = within_chunks(
            rotate(q, begin).flatten(0, 1), rotate(keys[None], 0)[0], values, keys.new_zeros(self.chunk)
        )
        done = seen.shape[3] - seen.shape[3] % self.chunk
        return self.leave(join_heads(flat.unflatten(0, q.shape[:2]))), {"held": seen[:, :, :, done:]}

    def state_bytes(self, length: int) -> int:
        """Keys and values of the unfinished chunk, float32."""
        return 2 * 4 * self.leave.in_features * (length % self.chunk)
