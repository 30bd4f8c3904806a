"""How does one decode step cost one launch on a GPU? Static buffers and a captured CUDA graph, replayed a token.

A step of one new token a row is the same kernels on the same addresses every time, once the number of keys that it
reads is a constant: the whole cache is read under a mask, and only token ids and positions change. `StaticStep` holds
those buffers and runs anywhere, which is how it is tested; `Replay` captures its `run` where the device is CUDA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from harness.models.lms._cache import Cache
from harness.models.lms._llama import Network

# R rows, N new tokens (one a row, so N = R), S slots read, H query heads, K key heads, E head width, V vocabulary

# slots read are rounded up to a multiple of this, so that a growing text needs few graphs
READ_STEP = 512  # slots
# eager runs before a capture, on a side stream, as torch's CUDA graph guide asks
WARM_UPS = 3


@final
class StaticStep:
    """One token a row over `read` cache slots, in fixed buffers: fill `ids` and `positions`, `run`, take `logits`."""

    def __init__(self, network: Network, buffer: Tensor, read: int) -> None:
        rows, device = buffer.shape[2], buffer.device
        self._network, self._buffer, self.read = network, buffer, read
        self.ids = torch.zeros(rows, dtype=torch.long, device=device)
        self.positions = torch.zeros(rows, dtype=torch.long, device=device)
        self.logits = torch.zeros(rows, network.shape.vocabulary, device=device)
        self._rows = torch.arange(rows, device=device)
        self._order = torch.arange(read, device=device)
        self._masks: dict[int, Tensor] = {}
        # held, since a captured graph reads their addresses even after the network has grown longer ones
        self._tables = network.cover(read)

    def fill(self, tokens: Sequence[int], lengths: Sequence[int]) -> None:
        """Put in each row's token and position, in place; rows of the buffer that are not in use stay as they are."""
        self.ids[: len(tokens)].copy_(torch.tensor(tokens))
        self.positions[: len(tokens)].copy_(torch.tensor(lengths))

    @torch.inference_mode()
    def run(self) -> None:
        """The step itself: nothing but device work on fixed addresses."""
        self._masks.clear()
        hidden_RD, _ = self._network.run(self.ids, self.positions, self._attend)
        self.logits.copy_(self._network.logits(hidden_RD))

    def _attend(self, layer: int, query_NHE: Tensor, key_NKE: Tensor, value_NKE: Tensor) -> Tensor:
        shape = self._network.shape
        keys, values = self._buffer[layer, 0], self._buffer[layer, 1]
        keys[self._rows, :, self.positions] = key_NKE
        values[self._rows, :, self.positions] = value_NKE
        # the heads that share a key head become its queries, and the keys are read once
        grouped = query_NHE.reshape(len(query_NHE), shape.kv_heads, -1, shape.head_width)
        mixed = F.scaled_dot_product_attention(
            grouped,
            keys[:, :, : self.read],
            values[:, :, : self.read],
            attn_mask=self._mask(shape.windows[layer]),
            scale=shape.scale,
        )
        return mixed.reshape(len(query_NHE), -1)

    def _mask(self, window: int) -> Tensor:
        if window not in self._masks:
            allowed = self._order <= self.positions[:, None]
            if window:
                allowed = allowed & (self._order > self.positions[:, None] - window)
            self._masks[window] = allowed[:, None, None]
        return self._masks[window]


@final
class Replay:
    """The one-token step of a network: one captured graph for each cache and number of slots read.

    `prepare(step)` returns what to call for each token: on CUDA the replay of a captured graph, else `step.run`.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._buffer: Tensor | None = None
        self._ready: dict[int, tuple[StaticStep, Callable[[], None]]] = {}

    def step(self, cache: Cache, tokens: Sequence[int]) -> Tensor:
        """Write each row's token after its last one; float32 logits [R, V]."""
        if self._buffer is not cache.buffer:
            self._buffer, self._ready = cache.buffer, {}
        read = min(-(-(max(cache.lengths) + 1) // READ_STEP) * READ_STEP, cache.capacity)
        if read not in self._ready:
            static = StaticStep(self._network, cache.buffer, read)
            static.fill(tokens, cache.lengths)
            self._ready[read] = (static, prepare(static))
        static, replay = self._ready[read]
        static.fill(tokens, cache.lengths)
        replay()
        # a copy, since the next step writes the same buffer
        return static.logits[: len(tokens)].clone()


def prepare(static: StaticStep) -> Callable[[], None]:
    """Capture the step where the device is CUDA; a step writes the same slots however often it runs."""
    if static.ids.device.type != "cuda":
        return static.run
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            static.run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        static.run()
    return graph.replay
