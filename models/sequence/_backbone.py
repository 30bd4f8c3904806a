"""What stands around a token mixer? The only residual stack: embedding, pre-norm blocks, pooled or tagging head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models.sequence._mixer import Mixer, State

# B batch, T time, D width, C channels, K outputs


@dataclass(frozen=True, slots=True)
class Shape:
    """The stack's sizes. `vocabulary` 0 means real-valued inputs of `channels`."""

    width: int
    depth: int
    outputs: int
    vocabulary: int = 0
    channels: int = 0
    ratio: float = 2.0  # hidden width of the MLP over the width
    dropout: float = 0.0
    bidirectional: bool = False
    per_position: bool = False
    tied: bool = False  # the head shares the embedding's weights (language models)


@final
class Bidirectional(nn.Module):
    """Two mixers, the second over reversed time; their outputs are added (Schuster & Paliwal 1997)."""

    causal = False

    def __init__(self, forwards: Mixer, backwards: Mixer) -> None:
        super().__init__()
        self.forwards, self.backwards = forwards, backwards
        self.feedforward = forwards.feedforward

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> Any:
        """Reverse each row within its own length, so that padding stays on the right."""
        order_BT = _reversed_order(x_BTD, mask_BT)[..., None].expand_as(x_BTD)
        ahead, _ = self.forwards(x_BTD, mask_BT=mask_BT, grid=grid)
        back, _ = self.backwards(x_BTD.gather(1, order_BT), mask_BT=mask_BT, grid=grid)
        return ahead + back.gather(1, order_BT), {}


@final
class Block(nn.Module):
    """x + mixer(norm(x)), then x + MLP(norm(x)) unless the mixer brings its own gating."""

    def __init__(self, mixer: Mixer | Bidirectional, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.mixer: Any = mixer  # as registered, torch would type it Tensor | Module
        self.dropout = nn.Dropout(shape.dropout)
        self.mlp: nn.Module | None = None
        if mixer.feedforward:
            hidden = int(shape.ratio * shape.width)
            self.mlp = nn.Sequential(
                nn.LayerNorm(shape.width), nn.Linear(shape.width, hidden), nn.GELU(), nn.Linear(hidden, shape.width)
            )

    def forward(
        self, x_BTD: Tensor, state: State | None, mask_BT: Tensor | None, grid: tuple[int, ...]
    ) -> tuple[Tensor, State]:
        """Output and the mixer's new state."""
        mixed, state = self.mixer(self.norm(x_BTD), state, mask_BT=mask_BT, grid=grid)
        return self._rest(x_BTD + self.dropout(mixed)), state

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """The same for one token, through the mixer's own recurrence."""
        mixed, state = self.mixer.step(self.norm(x_BD), state)
        return self._rest(x_BD + mixed), state

    def _rest(self, x: Tensor) -> Tensor:
        if self.mlp is None:
            return x
        added: Tensor = x + self.dropout(self.mlp(x))
        return added


@final
class Backbone(nn.Module):
    """Embedding (or linear map of channels), `depth` blocks, final norm, linear head."""

    def __init__(self, shape: Shape, mixer: Callable[[int], Mixer]) -> None:
        super().__init__()
        self.shape = shape
        self.embed: nn.Module
        if shape.vocabulary:
            self.embed = nn.Embedding(shape.vocabulary, shape.width)
            if shape.tied:
                # only a shared head needs small weights: beside the mixers' answers a token would be lost in the stream
                nn.init.normal_(self.embed.weight, std=0.02)
        else:
            self.embed = nn.Linear(shape.channels, shape.width)
        make = (lambda layer: Bidirectional(mixer(layer), mixer(layer))) if shape.bidirectional else mixer
        self.blocks = nn.ModuleList(Block(make(layer), shape) for layer in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.outputs, bias=not shape.tied)
        if shape.tied:
            self.head.weight = self.embed.weight

    @property
    def stack(self) -> list[Block]:
        """The blocks, first to last."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def forward(
        self,
        inputs: Tensor,
        mask_BT: Tensor | None = None,
        states: list[State] | None = None,
        grid: tuple[int, ...] = (),
    ) -> tuple[Tensor, list[State]]:
        """Per-position outputs [B, T, K] or, for a pooled head, [B, K] (mean over valid positions), and new states."""
        x_BTD = self.embed(inputs)
        carried: list[State] = []
        for layer, block in enumerate(self.stack):
            x_BTD, state = block(x_BTD, states[layer] if states else None, mask_BT, grid)
            carried.append(state)
        x_BTD = self.norm(x_BTD)
        if not self.shape.per_position:
            return self.head(_mean(x_BTD, mask_BT)), carried
        return self.head(x_BTD), carried

    def step(self, inputs: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """Outputs [B, K] of one more token [B] (or [B, C]); only for a per-position head of causal mixers."""
        x_BD = self.embed(inputs)
        carried: list[State] = []
        for block, state in zip(self.stack, states, strict=True):
            x_BD, state = block.step(x_BD, state)
            carried.append(state)
        return self.head(self.norm(x_BD)), carried

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> list[State]:
        """States of all layers before the first token."""
        return [block.mixer.start(batch, device, dtype) for block in self.stack]

    def state_bytes(self, length: int) -> int:
        """Bytes of one row's state over all layers after `length` tokens."""
        return sum(block.mixer.state_bytes(length) for block in self.stack)


def parameters(module: nn.Module) -> int:
    """Trainable numbers, shared ones counted once."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def cross_entropy(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Mean loss in nats over targets that are not -100, and how many those are."""
    count = int((targets != -100).sum())
    loss = functional.cross_entropy(outputs.flatten(0, -2), targets.flatten(), ignore_index=-100, reduction="sum")
    return loss / max(1, count), count


def _mean(x_BTD: Tensor, mask_BT: Tensor | None) -> Tensor:
    if mask_BT is None:
        return x_BTD.mean(1)
    weights = mask_BT.to(x_BTD.dtype)[..., None]
    return (x_BTD * weights).sum(1) / weights.sum(1).clamp(min=1)


def _reversed_order(x_BTD: Tensor, mask_BT: Tensor | None) -> Tensor:
    time = torch.arange(x_BTD.shape[1], device=x_BTD.device)
    if mask_BT is None:
        return time.flip(0).expand(x_BTD.shape[0], -1)
    lengths = mask_BT.sum(1, keepdim=True)
    return torch.where(time < lengths, lengths - 1 - time, time)
