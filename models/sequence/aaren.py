"""sequence/aaren: attention from one learned query, which is a recurrent network."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from harness.api.errors import UsageError
from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._mixer import Mixer, Site, State, state_dtype

# B batch, T time, D width, H heads, E head size

prefix_softmax = operation("prefix_softmax")


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Feng et al. 2024, Attention as an RNN, arXiv:2405.13956",
    differs="q is not projected from a query token (the product of the two is one vector)",
)
class Aaren(SequenceModel):
    """o_t = softmax over s <= t of q . k_s / sqrt(E) times v_s, with one learned query q a layer.

    The prefix softmax is a scan over (m, u, w) with 2 + E numbers of state a head. One query cannot look for content
    that a token asks for, so associative recall is a negative control.
    Differs from the paper: q is not projected from a query token (the product of the two is one vector).
    """

    heads: int = 4

    def mixer(self, site: Site) -> Mixer:
        """One attention layer."""
        if site.width % self.heads:
            raise UsageError(f"aaren: width {site.width} does not split into {self.heads} heads.")
        return QueryAttention(site.width, self.heads)


@final
class QueryAttention(Mixer):
    """Keys and values of the tokens, one query of the layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query = nn.Parameter(torch.randn(heads, self.size))
        self.keys_values = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """No token: m = -inf, u = 0, w = 0."""
        kind: Any = {"device": device, "dtype": state_dtype(dtype)}
        return {
            "peak": torch.full((batch, self.heads), -torch.inf, **kind),
            "mass": torch.zeros(batch, self.heads, **kind),
            "sum": torch.zeros(batch, self.heads, self.size, **kind),
        }

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Attend from the query to every prefix."""
        batch, time, width = x_BTD.shape
        k, v = self.keys_values(x_BTD).view(batch, time, 2, self.heads, self.size).permute(2, 0, 3, 1, 4)
        score_BHT = torch.einsum("bhte,he->bht", k, self.query) * self.size**-0.5
        carried = (state["peak"], state["mass"], state["sum"]) if state else None
        y_BHTE, (peak, mass, total) = prefix_softmax(score_BHT, v, carried)
        return self.out(y_BHTE.transpose(1, 2).reshape(batch, time, width)), {"peak": peak, "mass": mass, "sum": total}
