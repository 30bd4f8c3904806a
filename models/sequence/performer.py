"""sequence/performer: softmax attention through positive random features."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from harness.api.registry import model
from harness.kernels._dispatch import operation
from harness.models.sequence._learner import SequenceModel
from harness.models.sequence._memory import carried, empty_memory, join_heads, packed, split_heads
from harness.models.sequence._mixer import Mixer, Site, State

# B batch, T time, D width, H heads, E head size, M features

gated_linear = operation("gated_linear")


@model(
    doors=("label", "forecast"),
    learns=True,
    paper="Choromanski et al. 2020, FAVOR+, arXiv:2009.14794",
    differs="features are not redrawn during training, and no constant is added to them; no positions are added, "
    "so that order is heard through causality alone",
)
class Performer(SequenceModel):
    """exp(q . k / sqrt(E)) = E[phi(q) . phi(k)], phi(x) = exp(w . x - |x|^2 / 2) / sqrt(M), x scaled by E^(-1/4).

    The features w are rows of random orthogonal matrices with Gaussian lengths, drawn once.
    Differs from the paper: features are not redrawn during training, and no constant is added to them; no
    positions are added, so that order is heard through causality alone.
    """

    heads: int = 4
    features: int = 64

    def mixer(self, site: Site) -> Mixer:
        """One attention layer."""
        return RandomFeatureAttention(site.width, self.heads, self.features)


@final
class RandomFeatureAttention(Mixer):
    """Causal attention with random features on the matrix-memory kernel."""

    omega_EM: Tensor

    def __init__(self, width: int, heads: int, features: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.register_buffer("omega_EM", orthogonal_features(self.size, features))

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Nothing written."""
        return empty_memory(batch, (self.heads, self.omega_EM.shape[1], self.size), device, dtype, "sum")

    def forward(
        self, x_BTD: Tensor, state: State | None = None, *, mask_BT: Tensor | None = None, grid: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """Write and read the new tokens."""
        q, k, v = (split_heads(part, self.heads) for part in self.project(x_BTD).chunk(3, -1))
        log_k = log_features(k, self.omega_EM)
        # a key's own largest feature leaves through the input gate and a query's cancels, so that nothing overflows
        peak_BHT = log_k.amax(-1)
        q_BHTM = log_features(q, self.omega_EM)
        q_BHTM = (q_BHTM - q_BHTM.amax(-1, keepdim=True).detach()).exp()
        keep = q_BHTM.new_zeros(q_BHTM.shape[:3])
        y_BHTE, last = gated_linear(
            q_BHTM, (log_k - peak_BHT[..., None]).exp(), v, keep, peak_BHT, carried(state), "sum"
        )
        return self.out(join_heads(y_BHTE)), packed(last)


def log_features(x_BHTE: Tensor, omega_EM: Tensor) -> Tensor:
    """Logarithm of sqrt(M) phi(x), for x scaled by E^(-1/4)."""
    scaled = x_BHTE * x_BHTE.shape[-1] ** -0.25
    return scaled @ omega_EM.to(scaled.dtype) - scaled.square().sum(-1, keepdim=True) / 2


def orthogonal_features(size: int, features: int) -> Tensor:
    """[E, M] in blocks of E orthogonal directions, each with the length of a Gaussian vector."""
    blocks = [torch.linalg.qr(torch.randn(size, size))[0] for _ in range(-(-features // size))]
    directions = torch.cat(blocks, 1)[:, :features]
    return directions * torch.randn(size, features).norm(dim=0)
