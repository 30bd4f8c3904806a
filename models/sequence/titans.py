"""sequence/titans: a neural memory that learns at test time, alone or as context, gate or layer of attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.sequence._banded import WindowAttention
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Mixer, Site, State, Streaming, state_dtype
from harness.models.sequence._neural_memory import NeuralMemory
from harness.models.sequence._short_conv import ShortConv
from harness.models.sequence.transformer import rotate

# B batch, T time, D width, H heads, E head size, S pairs at hand, P persistent tokens

Form = Literal["memory", "context", "gate", "layer"]


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Behrouz et al. 2025, Titans, arXiv:2501.00663",
    differs="theta is at most `rate` and a token's gradient is shortened to what an error of `limit` gives, "
    "without which chunks of steps can overshoot until weights are infinite; both gates, of no named "
    "function there, are SiLU; MAC reads and writes without convolutions, and its learned tokens are keys"
    " and values; small widths",
)
class Titans(SequenceModel):
    """M_t = (1 - alpha) M_{t-1} + S_t, S_t = eta S_{t-1} - theta grad |M(k) - v|^2: weights as a state; read M_t(q).

    memory: that alone (LMM), its answer normalised and gated before the map out. context: segments attend to learned
    tokens, to what the memory recalls and to themselves (MAC). gate: silu(norm(window) * norm(memory)) (MAG). layer:
    the window over the memory's answers (MAL). In the last two both read the learned tokens before the sequence; a
    window of MAG always sees them. Depth 1 with eta = alpha = 0 and chunks of 1 is the delta rule.
    Differs from the paper: theta is at most `rate` and a token's gradient is shortened to what an error of `limit`
    gives, without which chunks of steps can overshoot until weights are infinite; both gates, of no named function
    there, are SiLU; MAC reads and writes without convolutions, and its learned tokens are keys and values; small
    widths.
    """

    heads: int = 4
    memory_depth: int = 2  # the paper's best
    expand: int = 2  # hidden width of a deeper memory over the head's
    chunk: int = 16  # tokens between the points at which gradients are taken; the segment of `context`
    form: Form = "memory"
    window: int = 64  # tokens, of `gate` and `layer`
    persistent: int = 4  # learned tokens
    limit: float = 4.0  # root mean square of M(k) - v, some four times that of fresh values; 0 for none
    rate: float = 0.5  # a full step of the delta rule, whose gradient carries a factor 2

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """The training code's version, and the memory's: it was unbounded at first."""
        return {**super().fingerprint(setting), "memory": "bounded"}

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        if self.memory_depth < 1 or self.chunk < 1 or site.width % self.heads:
            raise UsageError(f"titans: depth and chunk must be at least 1 and heads divide the width {site.width}.")
        if self.limit < 0:
            raise UsageError(f"titans: limit={self.limit:g} must be positive, or 0 for none.")
        size = site.width // self.heads
        limit = self.limit or float("inf")
        network = NeuralMemory(self.heads, size, self.memory_depth, self.expand, self.chunk, limit)
        if self.form == "context":
            return MemoryAsContext(MemoryLayer(site.width, network, self.rate, taps=1), self.heads, self.persistent)
        memory = MemoryLayer(site.width, network, self.rate, taps=4)
        if self.form == "memory":
            return memory
        gate = self.form == "gate"
        window = WindowAttention(site.width, self.heads, self.window, leading=self.persistent if gate else 0)
        return MemoryBesideAttention(memory, window, self.persistent, gate)


@final
class MemoryLayer(Mixer):
    """Queries, keys (SiLU, unit length), values and rates of a neural memory; its answers are normalised and gated."""

    def __init__(self, width: int, network: NeuralMemory, rate: float, taps: int) -> None:
        super().__init__()
        self.network, self.rate, self.heads = network, rate, network.first[0].shape[0]
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.conv = ShortConv(3 * width, taps)
        self.rates = nn.Linear(width, 3 * self.heads)
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.gate = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            # the steps of a chunk are taken at one point: on 16 equal keys (an image's border) their sum, doubled by
            # momentum and again by the gradient's factor 2, must stay below 2; little is forgotten at first
            self.rates.bias.copy_(torch.tensor([-4.0, 0.0, -4.0]).repeat_interleave(self.heads))

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """The first weights; nothing convolved."""
        past = self.conv.start(batch, device, state_dtype(dtype))
        return {**self.network.start(batch, device, dtype), "past": past}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Write and read the new tokens."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        mixed, past = self.conv(self.project(x_BTD), state["past"])
        q, k, v = self._shaped(mixed)
        theta, eta, alpha = torch.sigmoid(self.rates(x_BTD)).transpose(1, 2).chunk(3, 1)
        y, after = self.network(q, k, v, (self.rate * theta, eta, alpha), state)
        return self._leave(x_BTD, y), {**after, "past": past}

    def recall(self, x_BTD: Tensor, state: State) -> Tensor:
        """What the weights at the segment's start answer, without writing."""
        mixed, _ = self.conv(self.project(x_BTD), None)
        return self._leave(x_BTD, self.network.read(self._shaped(mixed)[0], state))

    def _leave(self, x_BTD: Tensor, y_BHTE: Tensor) -> Tensor:
        left: Tensor = self.out(self.norm(join_heads(y_BHTE)) * functional.silu(self.gate(x_BTD)))
        return left

    def _shaped(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (split_heads(functional.silu(part), self.heads) for part in mixed.chunk(3, -1))
        return functional.normalize(q, dim=-1), functional.normalize(k, dim=-1), v


@final
class MemoryBesideAttention(Mixer):
    """MAG: silu(norm(attention) * norm(memory)); MAL: attention over the memory's answers."""

    streaming: Streaming = "window"

    def __init__(self, memory: MemoryLayer, window: WindowAttention, persistent: int, gate: bool) -> None:
        super().__init__()
        self.memory, self.window, self.gate = memory, window, gate
        width = window.out.in_features
        self.learned = nn.Parameter(torch.randn(persistent, width))
        self.norms = nn.ModuleList([nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)]) if gate else None

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Both states after the learned tokens, the window's names first."""
        inner = {"window": self.window.start(batch, device, dtype), "neural": self.memory.start(batch, device, dtype)}
        empty = {f"{part}.{name}": item for part, held in inner.items() for name, item in held.items()}
        learned = self.learned.to(device).expand(batch, -1, -1)
        return self._run(learned, empty)[1] if learned.shape[1] else empty

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Run both."""
        return self._run(x_BTD, state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype))

    def _run(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        near, far = (
            {name.split(".")[1]: item for name, item in state.items() if name.startswith(part)}
            for part in ("window", "neural")
        )
        recalled, far = self.memory(x_BTD, far)
        seen, near = self.window(x_BTD if self.gate else recalled, near)
        y = seen if self.norms is None else functional.silu(self.norms[0](seen) * self.norms[1](recalled))
        inner = {"window": near, "neural": far}
        return y, {f"{part}.{name}": item for part, held in inner.items() for name, item in held.items()}

    def state_bytes(self, length: int) -> int:
        """The memory's constant state and the window, which begins with the learned tokens."""
        return self.memory.state_bytes(length) + self.window.state_bytes(length + len(self.learned))


@final
class MemoryAsContext(Mixer):
    """MAC: within a segment, attend to learned tokens and to pairs of (recalled, seen); write and read the answers."""

    streaming: Streaming = "window"

    def __init__(self, memory: MemoryLayer, heads: int, persistent: int) -> None:
        super().__init__()
        width = memory.out.in_features
        self.memory, self.heads, self.segment = memory, heads, memory.network.chunk
        self.learned = nn.Parameter(torch.randn(2, heads, persistent, width // heads))
        self.query = nn.Linear(width, width, bias=False)
        self.pair = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """The memory's state and an empty segment: keys and values [B, H, 2, S, E] of recalled and seen tokens."""
        kind: Any = {"device": device, "dtype": state_dtype(dtype)}
        size = self.out.in_features // self.heads
        empty = torch.zeros(batch, self.heads, 2, 0, size, **kind)
        return {**self.memory.start(batch, device, dtype), "keys": empty, "values": empty}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Segment by segment."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        answers, begin = [], 0
        while begin < x_BTD.shape[1]:
            end = min(x_BTD.shape[1], begin + self.segment - state["keys"].shape[3])
            y_BTD, state = self._segment(x_BTD[:, begin:end], state)
            answers.append(y_BTD)
            begin = end
        return torch.cat(answers, 1) if answers else x_BTD, state

    def _segment(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        done, new = state["keys"].shape[3], x_BTD.shape[1]
        both = torch.stack([self.memory.recall(x_BTD, state), x_BTD])
        k, v = (split_heads(part.flatten(0, 1), self.heads) for part in self.pair(both).chunk(2, -1))
        fresh = [part.unflatten(0, (2, -1)).permute(1, 2, 0, 3, 4) for part in (rotate(k, done), v)]
        held = [
            torch.cat([state[name].to(x_BTD.dtype), part], 3)
            for name, part in zip(("keys", "values"), fresh, strict=True)
        ]
        keys, values = (
            torch.cat([learned.expand(len(x_BTD), -1, -1, -1), part.flatten(2, 3)], 2)
            for learned, part in zip(self.learned, held, strict=True)
        )
        causal = torch.ones(new, done + new, dtype=torch.bool, device=x_BTD.device).tril(done)
        always = torch.ones(new, self.learned.shape[2], dtype=torch.bool, device=x_BTD.device)
        q = rotate(split_heads(self.query(x_BTD), self.heads), done)
        visible = torch.cat([always, causal, causal], 1)
        y = self.out(join_heads(functional.scaled_dot_product_attention(q, keys, values, attn_mask=visible)))
        recalled, after = self.memory(y, state)
        full = done + new == self.segment
        for name, part in zip(("keys", "values"), held, strict=True):
            after[name] = (part[:, :, :, :0] if full else part).to(state[name].dtype)
        return y * recalled, after

    def state_bytes(self, length: int) -> int:
        """The memory's constant state, and two keys and values for each token of the unfinished segment."""
        return self.memory.state_bytes(length) + 4 * 4 * self.out.in_features * (length % self.segment)
