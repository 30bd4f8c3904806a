"""series/cnn: a small fully convolutional network, trained on the few cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from harness.api.protocols import Meter, Setting
from harness.api.registry import model
from harness.api.types import Budget
from harness.models._training import Recipe, Spec, fit
from harness.models.series._cases import Cases, Scorer, Series, SeriesLearner

# B batch, T time, C channels, W width of a layer, K classes

KERNELS = (8, 5, 3)  # Wang et al. 2017, section 2.2


@model(
    doors=("label",),
    paper="Wang, Yan, Oates 2017, Time Series Classification from Scratch, arXiv:1611.06455 (FCN)",
    licence="Apache-2.0",
    learns=True,
    differs="a quarter of the width, layer norm in place of batch norm, 100 steps, no selection",
)
class Cnn(SeriesLearner):
    """Three convolutions (8, 5 and 3 taps), each followed by normalisation and ReLU, then the mean over time.

    Series keep their lengths: padding is masked before every layer. Inputs are standardised per channel with the
    training cases' moments. Without a budget it takes 100 steps; the last weights are used, since the few cases leave
    nothing to select on.

    Wang, Yan, Oates 2017, "Time Series Classification from Scratch" (FCN).
    Differs from the paper: a quarter of the width, layer norm in place of batch norm, and no selection.
    """

    width: int = 32
    learning_rate: float = 3e-3
    batch: int = 16  # cases, the paper's

    def fitted(self, cases: Cases, *, seed: int, budget: Budget, setting: Setting, meter: Meter) -> Scorer:
        """Train from a seeded start."""
        torch.manual_seed(seed)
        whole_CT = np.concatenate(cases.series, axis=1)
        spread = whole_CT.std(axis=1, keepdims=True)
        centre, scale = whole_CT.mean(axis=1, keepdims=True), np.where(spread > 1e-8, spread, 1.0)
        network = FullyConvolutional(len(whole_CT), self.width, cases.classes).to(setting.device)

        def logits(series: Sequence[Series]) -> Tensor:
            return network(*padded([(item - centre) / scale for item in series], setting.device))

        def loss(rows: Sequence[int]) -> tuple[Tensor, int]:
            wanted_B = torch.as_tensor(cases.labels[list(rows)], device=setting.device)
            return functional.cross_entropy(logits([cases.series[row] for row in rows]), wanted_B), len(rows)

        recipe = Recipe(
            learning_rate=self.learning_rate,
            batch_examples=self.batch,
            batch_tokens=self.batch * cases.longest,
            default_steps=100,
        )
        lengths = [series.shape[1] for series in cases.series]
        fit(network, Spec(lengths, loss), recipe, budget=budget, seed=seed, setting=setting, meter=meter)

        def score(series: Sequence[Series]) -> NDArray[np.float64]:
            with torch.inference_mode():
                found: NDArray[np.float64] = logits(series).double().cpu().numpy()
            return found

        return score


@final
class FullyConvolutional(nn.Module):
    """Class scores [B, K] of padded series [B, C, T] with their mask [B, 1, T]."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        widths = (channels, width, 2 * width, width)
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, taps) for before, after, taps in zip(widths[:-1], widths[1:], KERNELS, strict=True)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(after) for after in widths[1:])
        self.head = nn.Linear(width, classes)

    def forward(self, x_BCT: Tensor, mask_B1T: Tensor) -> Tensor:
        """Convolve, normalise, mask; mean over the true steps."""
        for layer, norm, taps in zip(self.layers, self.norms, KERNELS, strict=True):
            # as many steps before as after, one more after when the taps are even: the length stays
            x_BCT = layer(functional.pad(x_BCT * mask_B1T, ((taps - 1) // 2, taps // 2)))
            x_BCT = functional.relu(norm(x_BCT.transpose(1, 2)).transpose(1, 2))
        pooled_BW = (x_BCT * mask_B1T).sum(-1) / mask_B1T.sum(-1)
        scores: Tensor = self.head(pooled_BW)
        return scores


def padded(series: Sequence[Series], device: str) -> tuple[Tensor, Tensor]:
    """Series [C, T] of their own lengths as [B, C, T] and a mask [B, 1, T] of ones."""
    longest = max(item.shape[1] for item in series)
    x_BCT = np.zeros((len(series), len(series[0]), longest), dtype=np.float32)
    mask_B1T = np.zeros((len(series), 1, longest), dtype=np.float32)
    for row, item in enumerate(series):
        x_BCT[row, :, : item.shape[1]] = item
        mask_B1T[row, :, : item.shape[1]] = 1.0
    return torch.as_tensor(x_BCT, device=device), torch.as_tensor(mask_B1T, device=device)
