"""sequence/mamba2: state-space duality, with Stuffed Mamba's remedies for states that collapse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models._training import parameter_rule
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import empty_memory, join_heads, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype
from harness.models.sequence._short_conv import ShortConv

# B batch, T time, D width, H heads, P width of a head, N state size

gated_linear = operation("gated_linear")


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Dao & Gu 2024, Mamba-2, arXiv:2405.21060; Chen et al. 2024, Stuffed Mamba, arXiv:2410.07145",
    differs="one group of B and C, small widths; the ceiling acts between chunks, not at every step; the window "
    "keeps the difference itself as its state, and the writes of the last r steps",
)
class Mamba2(SequenceModel):
    """S_t = a_t S_{t-1} + dt_t B_t x_t^T, y_t = C_t S_t + d x_t, a_t = exp(-dt_t A) with one A a head.

    x, B and C pass a short convolution and SiLU; y is gated by SiLU(z), normalised and projected. Stuffed Mamba's
    remedies: `retain` multiplies a and `insert` multiplies B (0.9999 and 0.75 there); `ceiling` rescales a head's state
    whose norm exceeds its number, between chunks of `ceiling_every` steps; `window` reads S_t - (a_{t-r+1} .. a_t)
    S_{t-r}, the state of the last r steps alone; `backprop`, which every sequence model has, trains on longer data by
    truncated backpropagation through time. With 1, 1, no ceiling and no window it is Mamba-2.
    Differs from the paper: one group of B and C, small widths; the ceiling acts between chunks, not at every step; the
    window keeps the difference itself as its state, and the writes of the last r steps.
    """

    states: int = 64  # N (128 in the paper)
    head: int = 32  # P (64 in the paper)
    expand: int = 2
    taps: int = 4
    retain: float = 1.0
    insert: float = 1.0
    ceiling: tuple[float, ...] = ()  # Frobenius norm of a head's state: one for all heads, one a head, or no ceiling
    ceiling_every: int = 64  # steps
    window: int = 0  # steps that the state remembers; 0 for all

    def mixer(self, site: Site) -> Mixer:
        """One block."""
        inner = self.expand * site.width
        size = math.gcd(self.head, inner)
        written = "+".join(f"{value:g}" for value in self.ceiling)
        if not 0 < self.retain <= 1 or self.insert <= 0 or self.ceiling_every < 1:
            raise UsageError(
                f"mamba2 needs 0 < retain <= 1, insert > 0 and ceiling_every >= 1, not retain={self.retain:g}, "
                f"insert={self.insert:g}, ceiling_every={self.ceiling_every}."
            )
        if len(self.ceiling) not in (0, 1, inner // size) or any(value <= 0 for value in self.ceiling):
            raise UsageError(
                f"mamba2 needs a ceiling above 0, one for all heads or one for each of {inner // size}: {written}."
            )
        if self.window < 0 or (self.window and self.ceiling):
            raise UsageError(
                f"mamba2 needs window >= 0 and not a ceiling beside it: window={self.window}, ceiling={written}."
            )
        remedies = Remedies(self.retain, self.insert, self.ceiling, self.ceiling_every, self.window)
        return SSD(site.width, inner, size, self.states, self.taps, remedies)


@dataclass(frozen=True, slots=True)
class Remedies:
    """Stuffed Mamba's choices, as the fields of `Mamba2` say."""

    retain: float
    insert: float
    ceiling: tuple[float, ...]
    every: int
    window: int


@final
class SSD(Mixer):
    """One Mamba-2 block."""

    feedforward = False

    def __init__(self, width: int, inner: int, head: int, states: int, taps: int, remedies: Remedies) -> None:
        super().__init__()
        self.inner, self.states, self.heads, self.remedies = inner, states, inner // head, remedies
        self.project = nn.Linear(width, 2 * inner + 2 * states + self.heads, bias=False)
        self.conv = ShortConv(inner + 2 * states, taps)
        # A uniform in 1..16, dt log-uniform in 0.001..0.1 through its softplus
        self.log_a = parameter_rule(nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log()), decay=False)
        dt = torch.exp(torch.empty(self.heads).uniform_(math.log(1e-3), math.log(1e-1))).clamp(min=1e-4)
        self.dt_bias = parameter_rule(nn.Parameter(dt + torch.log(-torch.expm1(-dt))), decay=False)
        self.d = parameter_rule(nn.Parameter(torch.ones(self.heads)), decay=False)
        self.norm = nn.RMSNorm(inner, eps=1e-5)
        self.out = nn.Linear(inner, width, bias=False)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing written, nothing convolved; the ceiling also counts steps, the window keeps its writes."""
        head = self.inner // self.heads
        state = empty_memory(batch, (self.heads, self.states, head), device, dtype, "none")
        state["past"] = self.conv.start(batch, device, state_dtype(dtype))
        if self.remedies.ceiling:
            state["steps"] = torch.zeros(1, dtype=torch.int64, device=device)
        if reach := self.remedies.window:
            kind: Any = {"device": device, "dtype": state_dtype(dtype)}
            state["keys"] = torch.zeros(batch, reach, self.states, **kind)
            state["values"] = torch.zeros(batch, self.heads, reach, head, **kind)
            state["log_forget"] = torch.zeros(batch, self.heads, reach, **kind)
        return state

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Run the new tokens."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        sizes = [self.inner, self.inner + 2 * self.states, self.heads]
        gate, mixed, dt = self.project(x_BTD).split(sizes, -1)
        mixed, past = self.conv(mixed, state["past"])
        x, b, c = functional.silu(mixed).split([self.inner, self.states, self.states], -1)
        dt_BHT = functional.softplus(dt + self.dt_bias).transpose(1, 2)
        log_forget = -dt_BHT * self.log_a.exp()[:, None] + math.log(self.remedies.retain)
        x_BHTP = split_heads(x, self.heads)
        k, q = (part[:, None].expand(-1, self.heads, -1, -1) for part in (b * self.remedies.insert, c))
        read = self._windowed if self.remedies.window else self._memory
        y_BHTP, after = read(q, k, x_BHTP * dt_BHT[..., None], log_forget, state)
        y = join_heads(y_BHTP + self.d[:, None, None] * x_BHTP)
        after["past"] = past
        return self.out(self.norm(y * functional.silu(gate))), after

    def _memory(self, q: Tensor, k: Tensor, v: Tensor, log_forget: Tensor, state: State) -> tuple[Tensor, State]:
        memory = state["memory"]
        if not self.remedies.ceiling:
            y, last = gated_linear(q, k, v, log_forget, None, (memory, None, None), "none")
            return y, {"memory": last[0]}
        ceiling_H11, every = memory.new_tensor(self.remedies.ceiling)[:, None, None], self.remedies.every
        steps, parts, begin = int(state["steps"]), [], 0
        while begin < q.shape[2]:
            # chunks end at fixed places of the sequence, however it was cut into calls
            end = min(q.shape[2], begin + every - steps % every)
            here = slice(begin, end)
            y, last = gated_linear(
                q[:, :, here], k[:, :, here], v[:, :, here], log_forget[:, :, here], None, (memory, None, None), "none"
            )
            memory, steps, begin = last[0], steps + end - begin, end
            if steps % every == 0:
                norm = memory.flatten(2).norm(dim=-1)[..., None, None]
                memory = memory * (ceiling_H11 / norm.maximum(ceiling_H11))
            parts.append(y)
        return torch.cat(parts, 2) if parts else v, {"memory": memory, "steps": torch.full_like(state["steps"], steps)}

    def _windowed(self, q: Tensor, k: Tensor, v: Tensor, log_forget: Tensor, state: State) -> tuple[Tensor, State]:
        """A write is taken back, as faded as it is by then, once it is `window` steps old."""
        reach, length = self.remedies.window, v.shape[2]
        held = state["memory"].dtype
        keys = torch.cat([state["keys"][:, None].expand(-1, self.heads, -1, -1), k.to(held)], 2)
        values = torch.cat([state["values"], v.to(held)], 2)
        fading = torch.cat([state["log_forget"], log_forget.to(held)], 2)
        # in float64: a difference of two sums over the whole sequence
        total = fading.double().cumsum(-1)
        faded = (total[..., reach:] - total[..., :length]).exp().to(held)
        y, last = gated_linear(q, k, v, log_forget, None, (state["memory"], None, None), "none")
        gone = (values[:, :, :length] * faded[..., None]).to(v.dtype)
        z, taken = gated_linear(q, keys[:, :, :length].to(k.dtype), gone, log_forget, None, None, "none")
        after = {"memory": last[0] - taken[0], "keys": keys[:, 0, length:], "values": values[:, :, length:]}
        return y - z, {**after, "log_forget": fading[..., length:]}
