"""sample: draw every token from the model's own law, tempered and truncated as asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from harness.api.protocols import Meter, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._stepwise import stepwise
from harness.models.decoders._warping import Warping


@decoder(lossless="law", needs=(), paper="https://arxiv.org/abs/1904.09751", differs="none")
class Sample:
    """y_t ~ truncate(softmax(logits / T)); top-k, then top-p, then min-p, each renormalised.

    Every prompt has its own generator, and a token costs it one uniform number: neither order nor company of a batch
    changes a draw. Paper: nucleus sampling, Holtzman et al. 2020; min-p, Nguyen et al. 2024.
    Differs from the paper: none.
    """

    temperature: float = 1.0
    top_k: int = 0  # 0 keeps all
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        self._warping()

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt from its own seed."""
        warping = self._warping()
        generators = [np.random.default_rng(seed) for seed in seeds]

        def pick(logits_RV: Tensor, owners: Sequence[int]) -> list[int]:
            rising_RV = warping(logits_RV).cumsum(-1)
            draws = [generators[owner].random() for owner in owners]
            at_R1 = torch.tensor(draws, dtype=torch.float64, device=logits_RV.device)[:, None] * rising_RV[:, -1:]
            # the first token whose cumulated mass exceeds the draw: never one of zero mass
            return [int(token) for token in torch.searchsorted(rising_RV, at_R1, right=True)[:, 0].tolist()]

        return stepwise(lm, prompts, pick, meter)

    def _warping(self) -> Warping:
        return Warping(self.temperature, self.top_k, self.top_p, self.min_p)
