"""greedy: the likeliest token at every step; what every lossless method must reproduce."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from harness.api.protocols import Meter, TokenModel
from harness.api.registry import decoder
from harness.api.types import Decoded, Prompt
from harness.models.decoders._likeliest import likeliest
from harness.models.decoders._stepwise import stepwise


@decoder(lossless="greedy", needs=(), paper="", differs="none")
class Greedy:
    """y_t = arg max_v p(v | x, y_<t); equal logits go to the smallest id.

    Differs from the paper: none.
    """

    def decode(self, lm: TokenModel, prompts: Sequence[Prompt], *, seeds: Sequence[int], meter: Meter) -> list[Decoded]:
        """Continue each prompt; seeds are not used."""

        def pick(logits_RV: Tensor, owners: Sequence[int]) -> list[int]:
            return likeliest(logits_RV)

        return stepwise(lm, prompts, pick, meter)
