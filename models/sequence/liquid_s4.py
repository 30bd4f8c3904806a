"""sequence/liquid_s4: a state space that also hears products of neighbouring inputs."""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.models.sequence import _diagonal as diagonal
from harness.models.sequence._diagonal import Diagonal
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype, wide
from harness.models.sequence.s4d import S4DLayer

# B batch, T time, D width, N states, P degrees

Kernel = Literal["pb", "kb"]


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Hasani et al. 2022, Liquid-S4, arXiv:2209.12951",
    differs="the state space is the diagonal one (S4D, LegS start), so that B^p is taken per eigenvalue, and "
    "products are of adjacent inputs only. The authors' code does otherwise than the paper's equations, "
    "which hold here: it turns the products around in time, weighs them by the sum of B, and by default "
    "takes all combinations",
)
class LiquidS4(SequenceModel):
    """y = S4(u) + sum over p = 2..P of K_p * (u_t u_{t-1} .. u_{t-p+1}), K_p,k = C A^k B^p.

    `kb` convolves the products with that kernel; `pb` keeps its first tap, C B^p. With `degree` 1 it is the state
    space itself.
    Differs from the paper: the state space is the diagonal one (S4D, LegS start), so that B^p is taken per eigenvalue,
    and products are of adjacent inputs only. The authors' code does otherwise than the paper's equations, which hold
    here: it turns the products around in time, weighs them by the sum of B, and by default takes all combinations.
    """

    states: int = 64  # N, real
    degree: int = 2  # P
    kernel: Kernel = "pb"

    def mixer(self, site: Site) -> Mixer:
        """One layer."""
        if self.degree < 1:
            raise UsageError(f"liquid_s4: degree={self.degree} must be at least 1, which is S4 itself.")
        base = S4DLayer(site.width, self.states // 2, "legs", (1e-3, 1e-1), self.learning_rate)
        return LiquidLayer(base, self.degree, self.kernel)


@final
class LiquidLayer(Mixer):
    """The base layer's parameters, read at every degree."""

    feedforward = False

    def __init__(self, base: S4DLayer, degree: int, kernel: Kernel) -> None:
        super().__init__()
        self.base, self.degree, self.kernel = base, degree, kernel

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """A state for each convolved degree, and the last P - 1 inputs."""
        convolved = self.degree if self.kernel == "kb" else 1
        state = diagonal.empty(batch, convolved * self.base.width, self.base.size, device, dtype)
        past = torch.zeros(batch, self.base.width, self.degree - 1, device=device, dtype=state_dtype(dtype))
        return {**state, "past": past}

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Convolve the inputs and, by kernel, their products."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        products, past = self._products(x_BTD.transpose(1, 2), state["past"])
        joined = torch.cat(products, 1) if self.kernel == "kb" else products[0]
        y_BHT, held = diagonal.run(self._system(), joined, state["state"], hand_on=True)
        y_BDT = y_BHT.unflatten(1, (-1, self.base.width)).sum(1) + self._taps(products)
        after = {"state": state["state"] if held is None else held, "past": past}
        return self._leave(y_BDT.transpose(1, 2)), after

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        """The recurrence of each degree."""
        products, past = self._products(x_BD[..., None], state["past"])
        joined = torch.cat(products, 1) if self.kernel == "kb" else products[0]
        y_BH, held = diagonal.step(self._system(), joined[..., 0], state["state"])
        y_BD = y_BH.unflatten(1, (-1, self.base.width)).sum(1) + self._taps(products)[..., 0]
        return self._leave(y_BD), {"state": held, "past": past}

    def _products(self, x_BDT: Tensor, past_BDP: Tensor) -> tuple[list[Tensor], Tensor]:
        length, reach = x_BDT.shape[2], self.degree - 1
        seen = torch.cat([past_BDP.to(x_BDT.dtype), x_BDT], 2)
        products = [x_BDT]
        for back in range(1, self.degree):
            products.append(products[-1] * seen[:, :, reach - back : reach - back + length])
        return products, seen[:, :, length:].to(past_BDP.dtype)

    def _entry(self) -> Tensor:
        """The discretised B [D, N] of every eigenvalue."""
        a_DN = torch.complex(-wide(self.base.log_decay).exp(), wide(self.base.turn))
        return torch.expm1(wide(self.base.log_dt).exp()[:, None] * a_DN) / a_DN

    def _system(self) -> Diagonal:
        system = self.base.system(1)
        if self.kernel == "pb":
            return system
        entry = self._entry()
        weights = [system.weight_HN * entry**power for power in range(self.degree)]
        skip = torch.cat([system.skip_H, system.skip_H.new_zeros((self.degree - 1) * self.base.width)])
        return Diagonal(system.log_a_HN.repeat(self.degree, 1), torch.cat(weights), skip)

    def _taps(self, products: list[Tensor]) -> Tensor:
        if self.kernel == "kb" or self.degree == 1:
            return torch.zeros_like(products[0])
        entry, weight = self._entry(), self.base.system(1).weight_HN
        first = torch.stack([(weight * entry**power).sum(-1).real for power in range(1, self.degree)])
        return torch.einsum("pd,pbdt->bdt", first.to(products[0].dtype), torch.stack(products[1:]))

    def _leave(self, y: Tensor) -> Tensor:
        return functional.glu(self.base.out(functional.gelu(y)), -1)
