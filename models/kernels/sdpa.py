"""How fast torch's scaled dot-product attention is at what an operation answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.registry import model
from harness.models.kernels._stopwatch import Stopwatch, threads


@model(doors=("measure",), paper="none", licence="Apache-2.0", differs="none")
class Sdpa:
    """`scaled_dot_product_attention`: with a dense mask for tree_attention, with every key kept for prefix_softmax.

    Differs from the paper: none.
    """

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        """Threads; its code is in the signature already."""
        return threads()

    def load(self, setting: Setting) -> Stopwatch:
        """Nothing to load."""
        return Stopwatch("sdpa", setting, {"tree_attention": tree_attention, "prefix_softmax": prefix_softmax})


def tree_attention(
    query_BHTD: torch.Tensor,
    key_BGSD: torch.Tensor,
    value_BGSE: torch.Tensor,
    visible_BTM: torch.Tensor,
    lengths: tuple[int, ...] | None,
    scale: float | None,
) -> Any:
    """The mask of all keys, or its own causal mask where that is the one."""
    if lengths is not None:
        raise UsageError("kernels/sdpa: rows of different lengths are not torch's; take another case.")
    tail, keys = visible_BTM.shape[2], key_BGSD.shape[2]
    causal = tail == keys and bool((visible_BTM == torch.ones_like(visible_BTM).tril()).all())
    mask = None if causal else torch.nn.functional.pad(visible_BTM, (keys - tail, 0), value=True).unsqueeze(1)
    return scaled_dot_product_attention(
        query_BHTD, key_BGSD, value_BGSE, attn_mask=mask, is_causal=causal, scale=scale,
        enable_gqa=query_BHTD.shape[1] != key_BGSD.shape[1],
    )  # fmt: skip


def prefix_softmax(score_BHT: torch.Tensor, v_BHTV: torch.Tensor, state: Any) -> Any:
    """A query of ones, and keys whose first channel is the score."""
    if state is not None:
        raise UsageError("kernels/sdpa: attention continues from no state; take the case 'no state'.")
    k = torch.nn.functional.pad(score_BHT.unsqueeze(3), (0, v_BHTV.shape[3] - 1))
    y_BHTV = scaled_dot_product_attention(torch.ones_like(v_BHTV), k, v_BHTV, is_causal=True, scale=1.0)
    m_BH = score_BHT.detach().amax(2)
    weight = torch.exp(score_BHT - m_BH[..., None])
    return y_BHTV, (m_BH, weight.sum(2), (weight.unsqueeze(2) @ v_BHTV).squeeze(2))
