"""sequence/hyena: gates and long filters that a small network writes."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.kernels.long_conv._generators import implicit
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, Streaming, state_dtype
from harness.models.sequence._short_conv import ShortConv

# B batch, T time, D width, K taps of a filter, O order

long_conv = operation("long_conv")


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Poli et al. 2023, Hyena, arXiv:2302.10866",
    differs="none",
)
class Hyena(SequenceModel):
    """v = h_o * (x_o v) for o = O-1 .. 1, then y = W (x_0 v); v and the gates x_o pass a convolution of 3 taps.

    A filter h is a small network of (t, cos, sin) with sine activations, under exponential windows from
    |log 0.01| / 1.5 to |log 0.01| / 0.3, spread over the channels of all filters, over the longest training length,
    where it ends. Streaming keeps what the filters still reach: there is no smaller state.
    Differs from the paper: none.
    """

    order: int = 2
    hidden: int = 64  # width of the filter's network
    embedding: int = 3  # t, one cosine and one sine
    frequency: float = 10.0  # of the sines, learned; 1 in the module, 10 in the recipes

    def mixer(self, site: Site) -> Mixer:
        """One operator."""
        if self.order < 2 or self.embedding < 3 or self.embedding % 2 == 0:
            raise UsageError("hyena: order must be at least 2 and embedding odd and at least 3.")
        network = (self.embedding, self.hidden, self.frequency)
        return HyenaOperator(site.width, self.order, max(1, site.length), network)


@final
class HyenaOperator(Mixer):
    """The operator and the network of its filters."""

    streaming: Streaming = "linear"
    feedforward = True

    def __init__(self, width: int, order: int, length: int, network: tuple[int, int, float]) -> None:
        super().__init__()
        embedding, hidden, frequency = network
        self.width, self.order, self.length = width, order, length
        self.project = nn.Linear(width, (order + 1) * width)
        self.short = ShortConv((order + 1) * width, 3)
        outputs = (order - 1) * width
        sizes = [(embedding, hidden), (hidden, hidden), (hidden, hidden)]
        self.layers = nn.ModuleList([nn.Linear(*size) for size in sizes] + [nn.Linear(hidden, outputs, bias=False)])
        self.frequency = nn.Parameter(torch.full((hidden,), frequency))
        fast, slow = math.log(1e-2) / 0.3, math.log(1e-2) / 1.5
        self.register_buffer("window", torch.linspace(slow, fast, outputs))
        self.skip = nn.Parameter(torch.randn(order - 1, width))
        self.out = nn.Linear(width, width)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing convolved yet."""
        kind = state_dtype(dtype)
        past = torch.zeros(batch, self.order - 1, self.width, 0, device=device, dtype=kind)
        return {"short": self.short.start(batch, device, kind), "past": past}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Gate and convolve, outermost gate last."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        mixed, short = self.short(self.project(x_BTD), state["short"])
        *gates, v_BDT = mixed.transpose(1, 2).chunk(self.order + 1, 1)
        filters = self.filters().to(v_BDT.dtype)
        pasts = []
        for index, gate in enumerate(reversed(gates[1:])):
            gated = v_BDT * gate
            seen = torch.cat([state["past"][:, index].to(gated.dtype), gated], 2)
            # positions before the sequence are silence; the kernel wants exactly K - 1 of them
            past = seen[:, :, : seen.shape[2] - gated.shape[2]]
            full = nn.functional.pad(past, (self.length - 1 - past.shape[2], 0))
            v_BDT, _ = long_conv(gated, filters[index], self.skip[index], full)
            kept = min(seen.shape[2], self.length - 1)
            pasts.append(seen[:, :, seen.shape[2] - kept :].to(state["past"].dtype))
        y_BTD = self.out((v_BDT * gates[0]).transpose(1, 2))
        return y_BTD, {"short": short, "past": torch.stack(pasts, 1)}

    def filters(self) -> Tensor:
        """The filters [O - 1, D, K]."""
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        window = self.window
        assert isinstance(window, Tensor)
        weights, biases = [layer.weight for layer in linear], [layer.bias for layer in linear]
        made = implicit(weights, biases, self.frequency, window, self.length)
        return made.unflatten(0, (self.order - 1, self.width))

    def state_bytes(self, length: int) -> int:
        """What the filters reach, and the short convolution's past."""
        held = (self.order - 1) * self.width * min(length, self.length - 1)
        return 4 * (held + 2 * (self.order + 1) * self.width)
