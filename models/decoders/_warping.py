"""What law does a sampler draw from? Temperature, top-k, top-p and min-p applied to logits, in that order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.api.errors import UsageError

# V vocabulary


@dataclass(frozen=True, slots=True)
class Warping:
    """Truncation choices; the defaults leave the model's own law untouched.

    Papers: top-k, Fan et al. 2018, arXiv:1805.04833; top-p, Holtzman et al. 2020, arXiv:1904.09751; min-p, Nguyen et
    al. 2024, arXiv:2407.01082.
    """

    temperature: float = 1.0  # 0 puts all mass on the arg-max
    top_k: int = 0  # 0 keeps all
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1 or not 0 <= self.min_p < 1:
            raise UsageError(
                f"sampling needs temperature >= 0, top_k >= 0, 0 < top_p <= 1 and 0 <= min_p < 1, not "
                f"{self.temperature}, {self.top_k}, {self.top_p}, {self.min_p}."
            )

    def __call__(self, logits: Tensor) -> Tensor:
        """Probabilities [..., V] in float64 from logits [..., V]; ties at a cut-off are kept by index."""
        if self.temperature == 0:
            return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).double()
        law = torch.softmax(logits.double() / self.temperature, -1)
        if 0 < self.top_k < law.shape[-1]:
            kept = law.topk(self.top_k, -1).indices
            law = _renormalised(torch.zeros_like(law).scatter(-1, kept, law.gather(-1, kept)))
        if self.top_p < 1:
            ordered, order = law.sort(dim=-1, descending=True, stable=True)
            # a token stays while the mass before it is below top_p, so at least one does
            ordered = ordered * ((ordered.cumsum(-1) - ordered) < self.top_p)
            law = _renormalised(torch.zeros_like(law).scatter(-1, order, ordered))
        if self.min_p > 0:
            law = _renormalised(law * (law >= self.min_p * law.amax(-1, keepdim=True)))
        return law


def _renormalised(law: Tensor) -> Tensor:
    return law / law.sum(-1, keepdim=True)
