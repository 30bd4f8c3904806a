"""sequence/mamba: the selective scan, a diagonal recurrence whose step, input and output maps depend on the token."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models._training import parameter_rule
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype
from harness.models.sequence._short_conv import ShortConv

# B batch, T time, D width, E inner width, N state size of a channel, R rank of the step's map

linear_scan = operation("linear_scan")


@model(
    version=2,
    doors=("label", "forecast"),
    learns=True,
    paper="Gu & Dao 2023, Mamba, arXiv:2312.00752",
    differs="none",
)
class Mamba(SequenceModel):
    """h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t, y_t = C_t h_t + d u_t, each channel with N states of its own.

    dt_t = softplus(low-rank map of u_t), B_t and C_t are linear in u_t; u passes a short convolution and SiLU, and y is
    gated by SiLU(z). A_n starts at -n, dt log-uniform in 0.001..0.1, d at 1.
    Differs from the paper: none.
    """

    states: int = 16  # N
    expand: int = 2
    taps: int = 4
    rank: int = 0  # of the step's map; 0 for width / 16, rounded up

    def mixer(self, site: Site) -> Mixer:
        """One block."""
        rank = self.rank or math.ceil(site.width / 16)
        return SelectiveScan(site.width, self.expand * site.width, self.states, self.taps, rank)


@final
class SelectiveScan(Mixer):
    """One Mamba block."""

    feedforward = False

    def __init__(self, width: int, inner: int, states: int, taps: int, rank: int) -> None:
        super().__init__()
        self.sizes = [rank, states, states]
        self.project = nn.Linear(width, 2 * inner, bias=False)
        self.conv = ShortConv(inner, taps)
        self.select = nn.Linear(inner, sum(self.sizes), bias=False)
        self.dt = nn.Linear(rank, inner)
        with torch.no_grad():
            self.dt.weight.uniform_(-(rank**-0.5), rank**-0.5)
            dt = torch.exp(torch.empty(inner).uniform_(math.log(1e-3), math.log(1e-1))).clamp(min=1e-4)
            # the inverse of softplus
            self.dt.bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        parameter_rule(self.dt.bias, decay=False)
        poles = torch.arange(1, states + 1).float().log().repeat(inner, 1)
        self.log_a = parameter_rule(nn.Parameter(poles), decay=False)
        self.d = parameter_rule(nn.Parameter(torch.ones(inner)), decay=False)
        self.out = nn.Linear(inner, width, bias=False)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros: [B, E, N] for the scan and the convolution's past."""
        kind = state_dtype(dtype)
        return {
            "state": torch.zeros(batch, *self.log_a.shape, device=device, dtype=kind),
            "past": self.conv.start(batch, device, kind),
        }

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Scan the new tokens."""
        state = state or self.start(x_BTD.shape[0], x_BTD.device, x_BTD.dtype)
        mixed, gate = self.project(x_BTD).chunk(2, -1)
        mixed, past = self.conv(mixed, state["past"])
        u_BTE = functional.silu(mixed)
        low, b_BTN, c_BTN = self.select(u_BTE).split(self.sizes, -1)
        kind = state["state"].dtype
        dt_BTE = functional.softplus(self.dt(low)).to(kind)
        keep = torch.exp(-dt_BTE[..., None] * self.log_a.to(kind).exp())
        driven = (dt_BTE * u_BTE)[..., None] * b_BTN[:, :, None].to(kind)
        held, last = linear_scan(keep.flatten(2), driven.flatten(2), state["state"].flatten(1))
        y_BTE = torch.einsum("bten,btn->bte", held.unflatten(2, self.log_a.shape), c_BTN.to(kind))
        y_BTE = y_BTE.to(x_BTD.dtype) + self.d * u_BTE
        return self.out(y_BTE * functional.silu(gate)), {"state": last.view_as(state["state"]), "past": past}
