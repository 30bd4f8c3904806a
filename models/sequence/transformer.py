"""sequence/transformer: softmax attention over everything before (or around) each token."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, Streaming

# B batch, T new tokens, S all tokens, H heads, D width, E head size


@model(doors=("label", "forecast"), learns=True, paper="Vaswani et al. 2017, arXiv:1706.03762", differs="pre-norm")
class Transformer(SequenceModel):
    """Multi-head softmax attention, y_t = softmax(q_t K^T / sqrt(E)) V, with rotary, learned or no positions.

    Paper: Vaswani et al. 2017; rotary positions: Su et al. 2021, arXiv:2104.09864.
    Differs from the paper: pre-norm blocks, and rotary positions by default (learned ones by parameter).
    """

    heads: int = 4
    positions: Literal["rotary", "learned", "none"] = "rotary"
    causal: bool = True

    def mixer(self, site: Site) -> Mixer:
        """One attention layer."""
        return Attention(site, self.heads, self.positions, self.causal or site.causal)


@final
class Attention(Mixer):
    """Attention with a key-value state; the state grows with the length."""

    streaming: Streaming = "linear"

    def __init__(self, site: Site, heads: int, positions: str, causal: bool) -> None:
        super().__init__()
        if site.width % heads or (positions == "rotary" and (site.width // heads) % 2):
            raise UsageError(f"transformer: width {site.width} does not split into {heads} heads of even size.")
        self.heads, self.causal, self.positions = heads, causal, positions
        self.streaming = "linear" if causal else "none"
        self.project = nn.Linear(site.width, 3 * site.width, bias=False)
        self.out = nn.Linear(site.width, site.width, bias=False)
        # only the first layer adds learned positions, as an embedding would
        self.table: nn.Parameter | None = None
        if positions == "learned" and site.layer == 0:
            self.table = nn.Parameter(0.02 * torch.randn(max(1, site.length), site.width))

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Empty keys and values [B, H, 0, E]."""
        size = self.out.in_features // self.heads
        empty = torch.zeros(batch, self.heads, 0, size, device=device, dtype=dtype)
        return {"keys": empty, "values": empty}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Attend to the state and to the new tokens."""
        batch, new, width = x_BTD.shape
        state = state or self.start(batch, x_BTD.device, x_BTD.dtype)
        past = state["keys"].shape[2]
        if self.table is not None:
            if past + new > len(self.table):
                raise UsageError(f"transformer: {past + new} tokens, but learned positions end at {len(self.table)}.")
            x_BTD = x_BTD + self.table[past : past + new]
        q, k, v = self.project(x_BTD).view(batch, new, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if self.positions == "rotary":
            q, k = rotate(q, past), rotate(k, past)
        k, v = torch.cat([state["keys"], k], 2), torch.cat([state["values"], v], 2)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=self._mask(past, new, mask_BT, x_BTD.device))
        return self.out(mixed.transpose(1, 2).reshape(batch, new, width)), {"keys": k, "values": v}

    def state_bytes(self, length: int) -> int:
        """Keys and values of every token, float32."""
        return 2 * 4 * length * self.out.in_features

    def _mask(self, past: int, new: int, mask_BT: Tensor | None, device: torch.device) -> Tensor | None:
        if self.causal:
            # right padding lies in the future of every valid token, so the causal mask already hides it
            return torch.ones(new, past + new, dtype=torch.bool, device=device).tril(past)
        return None if mask_BT is None else mask_BT[:, None, None]


def rotate(x_BHTE: Tensor, start: int, base: float = 10_000.0) -> Tensor:
    """Rotary positions start..start+T-1: pairs (i, i + E/2) turn by position * base^(-2i/E)."""
    half = x_BHTE.shape[-1] // 2
    time = torch.arange(start, start + x_BHTE.shape[2], device=x_BHTE.device, dtype=torch.float64)
    angle = time[:, None] * base ** (-torch.arange(half, device=x_BHTE.device, dtype=torch.float64) / half)
    cos, sin = angle.cos().to(x_BHTE.dtype), angle.sin().to(x_BHTE.dtype)
    left, right = x_BHTE[..., :half], x_BHTE[..., half:]
    return torch.cat([left * cos - right * sin, left * sin + right * cos], -1)
