"""How does a state-space layer with a dense matrix run? As a convolution, or step by step, with one real state.

h_t = A h_{t-1} + B x_t and y_t = C h_t + d x_t, with A, B and C discretised for each channel.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.kernels._dispatch import operation
from harness.kernels.long_conv._generators import krylov
from harness.models.sequence._mixer import Mixer, State, state_dtype

# B batch, T time, H channels, N state size

long_conv = operation("long_conv")

BLOCK = 128  # steps whose powers are held at once


@dataclass(frozen=True, slots=True)
class Dense:
    """A discretised layer."""

    a_HNN: Tensor
    b_HN: Tensor
    c_HN: Tensor
    skip_H: Tensor


def generalised_bilinear(a_NN: Tensor, b_N: Tensor, dt_H: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """(I - alpha dt A)^-1 times (I + (1 - alpha) dt A) and times dt B, for every step size.

    alpha 0 is Euler's method, 1/2 the bilinear one, 1 the backward one.
    """
    eye = torch.eye(len(a_NN), dtype=a_NN.dtype, device=a_NN.device)
    step = dt_H[:, None, None] * a_NN
    right = torch.cat([eye + (1 - alpha) * step, dt_H[:, None, None] * b_N[:, None]], -1)
    solved = torch.linalg.solve(eye - alpha * step, right)
    return solved[..., :-1], solved[..., -1]


class DenseMixer(Mixer):
    """Abstract: a dense layer over `width` channels, GELU, then a linear map (LSSL) or a GLU (S4)."""

    feedforward = False

    def __init__(self, width: int, size: int, gated: bool) -> None:
        super().__init__()
        self.width, self.size, self.gated = width, size, gated
        self.out = nn.Linear(width, 2 * width if gated else width)

    @abstractmethod
    def system(self) -> Dense:
        """The discretised layer."""

    def filter(self, system: Dense, length: int) -> Tensor:
        """Its convolution kernel C A^t B, [H, length]."""
        return krylov(system.a_HNN, system.b_HN, system.c_HN, length)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros [B, H, N]."""
        return {"state": torch.zeros(batch, self.width, self.size, device=device, dtype=state_dtype(dtype))}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Convolve; the state is computed when one was given, or outside training."""
        length, system = x_BTD.shape[1], self.system()
        if not length:
            return x_BTD, state or {}
        x_BHT = x_BTD.transpose(1, 2)
        y_BHT, _ = long_conv(x_BHT, self.filter(system, length).to(x_BHT.dtype), system.skip_H.to(x_BHT.dtype))
        if state is None and self.training:
            return self._leave(y_BHT.transpose(1, 2)), {}
        held = (state or self.start(len(x_BTD), x_BTD.device, x_BTD.dtype))["state"]
        answers = []
        for piece in x_BHT.split(BLOCK, 2):
            rows = _orbit(system.a_HNN.mT, (system.c_HN[:, None] @ system.a_HNN)[:, 0], piece.shape[2])
            answers.append(torch.einsum("bhn,htn->bht", held, rows))
            columns = _orbit(system.a_HNN, system.b_HN, piece.shape[2]).flip(1)
            fresh = torch.einsum("bht,htn->bhn", piece.to(held.dtype), columns)
            held = torch.einsum("hmn,bhn->bhm", torch.linalg.matrix_power(system.a_HNN, piece.shape[2]), held) + fresh
        if state is not None:
            y_BHT = y_BHT + torch.cat(answers, 2).to(y_BHT.dtype)
        return self._leave(y_BHT.transpose(1, 2)), {"state": held}

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """The recurrence itself."""
        system = self.system()
        held = torch.einsum("hmn,bhn->bhm", system.a_HNN, state["state"]) + system.b_HN * x_BD[..., None]
        y_BD = (system.c_HN * held).sum(-1).to(x_BD.dtype) + system.skip_H * x_BD
        return self._leave(y_BD), {"state": held}

    def _leave(self, y: Tensor) -> Tensor:
        y = self.out(functional.gelu(y))
        return functional.glu(y, -1) if self.gated else y


def _orbit(a_HNN: Tensor, start_HN: Tensor, count: int) -> Tensor:
    """start, A start, A^2 start ... as rows [H, count, N], by doubling."""
    rows, power = start_HN[:, None], a_HNN
    while rows.shape[1] < count:
        rows = torch.cat([rows, rows @ power.mT], 1)
        power = power @ power
    return rows[:, :count]
