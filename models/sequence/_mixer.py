"""What must a token mixer offer? One causal (or not) map over time with a state that can be handed on.

Parallel, chunked and recurrent use are one contract: `forward` of the whole sequence, `forward` of its pieces with the
state passed along, and a loop of `step` give the same numbers. The state is kept in float32 (float64 for float64
inputs) whatever the activations are, because a bfloat16 state drifts by percents over thousands of steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

# B batch, T time, D width
State = dict[str, Tensor]
Streaming = Literal["constant", "window", "linear", "none"]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a mixer will stand."""

    width: int
    layer: int = 0
    depth: int = 1
    length: int = 0  # tokens of the longest training sequence; for mixers with a fixed maximum
    grid: tuple[int, ...] = ()  # (rows, columns) of training images
    causal: bool = False  # the task forbids looking ahead (language models, per-position streaming)


class Mixer(nn.Module, ABC):
    """Abstract token mixer [B, T, D] -> [B, T, D]."""

    causal: bool = True
    streaming: Streaming = "constant"  # how the state grows with the length; "none" where there is no causal form
    feedforward: bool = True  # False: the block brings its own gating and takes no MLP beside it

    @abstractmethod
    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """The state before the first token, for `batch` rows (dtype: see `state_dtype`)."""

    @abstractmethod
    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Mix T >= 0 tokens that follow `state` and return the output and the new state.

        `mask_BT` is False on (right) padding; a causal mixer may ignore it. `grid` is (rows, columns) when the tokens
        are a flattened image; a one-dimensional mixer ignores it.
        """

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """One token; override where a cheaper or more literal recurrence exists."""
        y_BTD, state = self.forward(x_BD[:, None], state)
        return y_BTD[:, 0], state

    def state_bytes(self, length: int) -> int:
        """Exact bytes of one row's float32 state after `length` tokens."""
        if self.streaming != "constant":
            raise NotImplementedError(f"{type(self).__name__} streams {self.streaming} state and must say how much.")
        with torch.no_grad():
            state = self.start(1, torch.device("cpu"), torch.float32)
        return sum(tensor.numel() * tensor.element_size() for tensor in state.values())


def state_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 stays float64; everything else carries its state in float32."""
    return torch.float64 if dtype in (torch.float64, torch.complex128) else torch.float32


def wide(tensor: Tensor) -> Tensor:
    """A parameter in the type that carries state; half types hold neither phases nor slow decays."""
    return tensor.to(state_dtype(tensor.dtype))
