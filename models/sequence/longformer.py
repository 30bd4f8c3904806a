"""sequence/longformer: a sliding window, and a few tokens that see and are seen by all."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.registry import model
from harness.models.sequence._banded import WindowAttention
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, Streaming

# B batch, T new tokens, D width, G global tokens


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Beltagy et al. 2020, Longformer, arXiv:2004.05150",
    differs="no dilation; rotary positions; any length rather than multiples of the window",
)
class Longformer(SequenceModel):
    """Attention to a window of tokens and to the first `anchors` tokens, which attend to all with maps of their own.

    Causal: the token and the window - 1 before it; otherwise half of the window on each side.
    Differs from the paper: no dilation; rotary positions; any length rather than multiples of the window.
    """

    heads: int = 4
    window: int = 64  # 512 in the paper
    anchors: int = 1
    causal: bool = True

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        band = WindowAttention(
            site.width, self.heads, self.window, causal=self.causal or site.causal, leading=self.anchors
        )
        return AnchoredAttention(band, site.width) if self.anchors else band


@final
class AnchoredAttention(Mixer):
    """The window's attention; the anchors' answers come from their own maps."""

    streaming: Streaming = "window"

    def __init__(self, band: WindowAttention, width: int) -> None:
        super().__init__()
        self.band, self.causal, self.streaming = band, band.causal, band.streaming
        self.project = nn.Linear(width, 3 * width, bias=False)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """No token seen."""
        state = self.band.start(batch, device, dtype)
        return {**state, "anchor_keys": state["keys"], "anchor_values": state["values"]}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Mix the window; then let the anchors among the new tokens look at everything they may."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        done = int(state["steps"])
        y_BTD, after = self.band.mix(x_BTD, state, mask_BT)
        anchors = min(x_BTD.shape[1], max(0, self.band.leading - done))
        reach = anchors if self.causal else x_BTD.shape[1]
        q, k, v = (split_heads(part, self.band.heads) for part in self.project(x_BTD[:, :reach]).chunk(3, -1))
        k, v = torch.cat([state["anchor_keys"], k], 2), torch.cat([state["anchor_values"], v], 2)
        if anchors:
            visible = torch.ones(anchors, k.shape[2], dtype=torch.bool, device=k.device)
            visible = visible.tril(k.shape[2] - anchors) if self.causal else visible
            if mask_BT is not None and not self.causal:
                visible = visible & mask_BT[:, None, None]
            all_ = functional.scaled_dot_product_attention(q[:, :, :anchors], k, v, attn_mask=visible)
            y_BTD = torch.cat([join_heads(all_), y_BTD[:, anchors:]], 1)
        return self.band.out(y_BTD), {**after, "anchor_keys": k, "anchor_values": v}

    def state_bytes(self, length: int) -> int:
        """The band's state and the anchors' own keys and values."""
        anchors = 2 * 4 * self.band.out.in_features * min(length, self.band.leading)
        return self.band.state_bytes(length) + anchors
