"""How does sliding-window attention cost time in proportion to the length? Blocks of queries, each with its own keys.

A query at t sees keys t - back .. t + ahead, and the extra keys that everyone sees (leading or persistent tokens).
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.errors import UsageError
from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Mixer, State, Streaming
from harness.models.sequence.transformer import rotate

# B batch, T new tokens, S all tokens at hand, H heads, E head size, X extra keys, Q queries of a block, N blocks


@final
class WindowAttention(Mixer):
    """Rotary multi-head attention over a window, `leading` first tokens that all see, and `persistent` learned tokens.

    Causal: the window is the token and the window - 1 before it; else window // 2 on each side.
    """

    streaming: Streaming = "window"

    def __init__(
        self, width: int, heads: int, window: int, *, causal: bool = True, leading: int = 0, persistent: int = 0
    ) -> None:
        super().__init__()
        if width % heads or (width // heads) % 2 or window < 1:
            raise UsageError(
                f"window attention: width {width} must split into {heads} heads of even size, window >= 1."
            )
        self.heads, self.leading, self.causal = heads, leading, causal
        self.streaming = "window" if causal else "none"
        self.back, self.ahead = (window - 1, 0) if causal else (window // 2, window // 2)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.persistent = nn.Parameter(torch.randn(2, heads, persistent, width // heads)) if persistent else None

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """No token seen."""
        kind: Any = {"device": device, "dtype": dtype}
        empty = torch.zeros(batch, self.heads, 0, self.out.in_features // self.heads, **kind)
        state = {"keys": empty, "values": empty, "steps": torch.zeros(1, dtype=torch.int64, device=device)}
        return {**state, "first_keys": empty, "first_values": empty} if self.leading else state

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Attend within the band."""
        y_BTD, after = self.mix(x_BTD, state, mask_BT)
        return self.out(y_BTD), after

    def mix(self, x_BTD: Tensor, state: State | None, mask_BT: Tensor | None) -> tuple[Tensor, State]:
        """The heads' answers before the output map."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        done, new = int(state["steps"]), x_BTD.shape[1]
        q, k, v = (split_heads(part, self.heads) for part in self.project(x_BTD).chunk(3, -1))
        q, k = rotate(q, done), rotate(k, done)
        keys, values = torch.cat([state["keys"], k], 2), torch.cat([state["values"], v], 2)
        first = done + new - keys.shape[2]
        extra_k, extra_v, sight, after = self._extra(k, v, state, done)
        valid = torch.ones(len(x_BTD), keys.shape[2], dtype=torch.bool, device=q.device)
        valid &= torch.arange(first, done + new, device=q.device) >= self.leading
        if mask_BT is not None and not self.causal:
            valid &= mask_BT
            if sight is not None and self.leading:
                sight = sight & mask_BT[:, None, : self.leading]
        y = banded((q, keys, values), (extra_k, extra_v, sight), (self.back, self.ahead), valid)
        kept = max(0, keys.shape[2] - self.back)
        after.update(keys=keys[:, :, kept:], values=values[:, :, kept:])
        after["steps"] = torch.full_like(state["steps"], done + new)
        return join_heads(y), after

    def _extra(
        self, k_BHTE: Tensor, v_BHTE: Tensor, state: State, done: int
    ) -> tuple[Tensor, Tensor, Tensor | None, State]:
        """Extra keys, values and who sees them; the leading ones as a state."""
        new = k_BHTE.shape[2]
        if self.persistent is not None:
            k, v = self.persistent[:, None].expand(-1, len(k_BHTE), -1, -1, -1)
            return k, v, torch.ones(1, new, k.shape[2], dtype=torch.bool, device=k.device), {}
        if not self.leading:
            return k_BHTE[:, :, :0], v_BHTE[:, :, :0], None, {}
        missing = max(0, self.leading - done)
        k = torch.cat([state["first_keys"], k_BHTE[:, :, :missing]], 2)
        v = torch.cat([state["first_values"], v_BHTE[:, :, :missing]], 2)
        place = torch.arange(k.shape[2], device=k.device)
        sight = torch.ones(new, k.shape[2], dtype=torch.bool, device=k.device)
        if self.causal:
            sight = place <= torch.arange(done, done + new, device=k.device)[:, None]
        return k, v, sight[None], {"first_keys": k, "first_values": v}

    def state_bytes(self, length: int) -> int:
        """The window's and the leading keys and values in float32, and a counter."""
        return 8 + 2 * 4 * self.out.in_features * (min(length, self.back) + min(length, self.leading))


def banded(
    new: tuple[Tensor, Tensor, Tensor],
    extra: tuple[Tensor, Tensor, Tensor | None],
    reach: tuple[int, int],
    valid_BS: Tensor,
) -> Tensor:
    """Attention of q [B, H, T, E], the last T of S positions, to the band of k, v [B, H, S, E] and to the extra keys.

    extra is (keys, values [B, H, X, E], sight [B or 1, T, X]); `valid_BS` is False on keys that no band shows. A query
    that sees nothing gets zeros.
    """
    (q, k, v), (extra_k, extra_v, sight), (back, ahead) = new, extra, reach
    time, held = q.shape[2], k.shape[2] - q.shape[2]
    if not time:
        return q
    block = max(1, min(time, back + ahead + 1))
    count = -(-time // block)
    spare, span = count * block - time, block + back + ahead
    # after padding, the band of query t begins at key t
    front, end = back - held, ahead + spare
    k, v = (functional.pad(part, (0, 0, front, end)).unfold(2, span, block).mT for part in (k, v))
    q = functional.pad(q, (0, 0, 0, spare)).unflatten(2, (count, block))
    seen_BNS = functional.pad(valid_BS, (front, end)).unfold(1, span, block)
    lag = torch.arange(span, device=q.device) - torch.arange(block, device=q.device)[:, None]
    visible = (seen_BNS[:, :, None] & (lag >= 0) & (lag <= back + ahead))[:, None]
    if sight is not None:
        sight = functional.pad(sight, (0, 0, 0, spare)).unflatten(1, (count, block))[:, None]
        visible = torch.cat([visible, sight.expand(len(q), -1, -1, -1, -1)], -1)
        k, v = (
            torch.cat([part, more[:, :, None].expand(-1, -1, count, -1, -1)], 3)
            for part, more in ((k, extra_k), (v, extra_v))
        )
    some = visible.any(-1, keepdim=True)
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible | ~some)
    return torch.where(some, mixed, 0.0).flatten(2, 3)[:, :, :time]
