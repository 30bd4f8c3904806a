"""sequence/mamba2: state-space duality, with Stuffed Mamba's remedies for states that collapse."""

from __future__ import annotations

import math
from typing import final

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
    doors=("label", "forecast"),
    learns=True,
    paper="Dao & Gu 2024, Mamba-2, arXiv:2405.21060; Chen et al. 2024, Stuffed Mamba, arXiv:2410.07145",
)
class Mamba2(SequenceModel):
    """S_t = a_t S_{t-1} + dt_t B_t x_t^T, y_t = C_t S_t + d x_t, a_t = exp(-dt_t A) with one A a head.

    x, B and C pass a short convolution and SiLU; y is gated by SiLU(z), normalised and projected. `retain` multiplies
    a and `insert` multiplies B (Stuffed Mamba: 0.9999 and 0.75); `ceiling` rescales a state whose norm exceeds it,
    between chunks of `ceiling_every` steps. With 1, 1 and no ceiling it is Mamba-2.
    Differs from the paper: one group of B and C, small widths; the ceiling acts between chunks, not at every step.
    """

    states: int = 64  # N (128 in the paper)
    head: int = 32  # P (64 in the paper)
    expand: int = 2
    taps: int = 4
    retain: float = 1.0
    insert: float = 1.0
    ceiling: float = 0.0  # Frobenius norm of a head's state; 0 for none
    ceiling_every: int = 64  # steps

    def mixer(self, site: Site) -> Mixer:
        """One block."""
        inner = self.expand * site.width
        size = math.gcd(self.head, inner)
        if not 0 < self.retain <= 1 or self.insert <= 0 or self.ceiling < 0 or self.ceiling_every < 1:
            raise UsageError("mamba2 needs 0 < retain <= 1, insert > 0, ceiling >= 0 and ceiling_every >= 1.")
        limits = (self.retain, self.insert, self.ceiling, self.ceiling_every)
        return SSD(site.width, inner, size, self.states, self.taps, limits)


@final
class SSD(Mixer):
    """One Mamba-2 block."""

    feedforward = False

    def __init__(
        self, width: int, inner: int, head: int, states: int, taps: int, limits: tuple[float, float, float, int]
    ) -> None:
        super().__init__()
        self.inner, self.states, self.heads = inner, states, inner // head
        self.retain, self.insert, self.ceiling, self.every = limits
        self.project = nn.Linear(width, 2 * inner + 2 * states + self.heads, bias=False)
        self.conv = ShortConv(inner + 2 * states, taps)
        # A uniform in 1..16, dt log-uniform in 0.001..0.1 through its softplus
        self.log_a = parameter_rule(nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log()), decay=False)
        dt = torch.exp(torch.empty(self.heads).uniform_(math.log(1e-3), math.log(1e-1))).clamp(min=1e-4)
        self.dt_bias = parameter_rule(nn.Parameter(dt + torch.log(-torch.expm1(-dt))), decay=False)
        self.d = parameter_rule(nn.Parameter(torch.ones(self.heads)), decay=False)
        self.norm = nn.RMSNorm(inner)
        self.out = nn.Linear(inner, width, bias=False)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing written, nothing convolved; the ceiling also counts steps."""
        state = empty_memory(batch, (self.heads, self.states, self.inner // self.heads), device, dtype, "none")
        state["past"] = self.conv.start(batch, device, state_dtype(dtype))
        if self.ceiling:
            state["steps"] = torch.zeros(1, dtype=torch.int64, device=device)
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
        log_forget = -dt_BHT * self.log_a.exp()[:, None] + math.log(self.retain)
        x_BHTP = split_heads(x, self.heads)
        k, q = (part[:, None].expand(-1, self.heads, -1, -1) for part in (b * self.insert, c))
        y_BHTP, after = self._memory(q, k, x_BHTP * dt_BHT[..., None], log_forget, state)
        y = join_heads(y_BHTP + self.d[:, None, None] * x_BHTP)
        after["past"] = past
        return self.out(self.norm(y * functional.silu(gate))), after

    def _memory(self, q: Tensor, k: Tensor, v: Tensor, log_forget: Tensor, state: State) -> tuple[Tensor, State]:
        memory = state["memory"]
        if not self.ceiling:
            y, last = gated_linear(q, k, v, log_forget, None, (memory, None, None), "none")
            return y, {"memory": last[0]}
        steps, parts, begin = int(state["steps"]), [], 0
        while begin < q.shape[2]:
            # chunks end at fixed places of the sequence, however it was cut into calls
            end = min(q.shape[2], begin + self.every - steps % self.every)
            here = slice(begin, end)
            y, last = gated_linear(
                q[:, :, here], k[:, :, here], v[:, :, here], log_forget[:, :, here], None, (memory, None, None), "none"
            )
            memory, steps, begin = last[0], steps + end - begin, end
            if steps % self.every == 0:
                norm = memory.flatten(2).norm(dim=-1)[..., None, None]
                memory = memory * (self.ceiling / norm.clamp(min=self.ceiling))
            parts.append(y)
        return torch.cat(parts, 2) if parts else v, {"memory": memory, "steps": torch.full_like(state["steps"], steps)}
