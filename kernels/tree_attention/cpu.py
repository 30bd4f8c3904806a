"""How is masked attention fast on a CPU? Torch's fused attention, on exactly the keys that a row has."""

from __future__ import annotations

import torch
from torch.nn import functional

# B batch, H query heads, G key heads, T queries, S keys, M keys under the mask, D and E widths


def tree_attention(
    query_BHTD: torch.Tensor,
    key_BGSD: torch.Tensor,
    value_BGSE: torch.Tensor,
    visible_BTM: torch.Tensor,
    lengths: tuple[int, ...] | None = None,
    scale: float | None = None,
) -> torch.Tensor:
    """As the reference; rows of one length share a call, and no key beyond a row's length is read."""
    if lengths is None or len(set(lengths)) <= 1:
        length = lengths[0] if lengths else key_BGSD.shape[2]
        return _attend(query_BHTD, key_BGSD[:, :, :length], value_BGSE[:, :, :length], visible_BTM, scale)
    answers = []
    for row, length in enumerate(lengths):
        one = slice(row, row + 1)
        keys, values = key_BGSD[one, :, :length], value_BGSE[one, :, :length]
        answers.append(_attend(query_BHTD[one], keys, values, visible_BTM[one], scale))
    return torch.cat(answers)


def _attend(
    query_BHTD: torch.Tensor,
    key_BGSD: torch.Tensor,
    value_BGSE: torch.Tensor,
    visible_BTM: torch.Tensor,
    scale: float | None,
) -> torch.Tensor:
    batch, heads, queries, _ = query_BHTD.shape
    groups, keys, width = key_BGSD.shape[1], key_BGSD.shape[2], value_BGSE.shape[3]
    if not (queries and keys and heads and batch):
        return query_BHTD[..., :0].sum(3, keepdim=True) + value_BGSE.sum() * query_BHTD.new_zeros(width)
    visible = functional.pad(visible_BTM, (keys - visible_BTM.shape[2], 0), value=True)
    seen = visible.any(2)
    # the query heads that share a key head become further queries of it, so that its keys are read once
    grouped = query_BHTD.reshape(batch, groups, heads // groups * queries, -1)
    mask = (visible | ~seen.unsqueeze(2)).unsqueeze(1).repeat(1, 1, heads // groups, 1)
    answer = functional.scaled_dot_product_attention(grouped, key_BGSD, value_BGSE, attn_mask=mask, scale=scale)
    answer = answer.reshape(batch, heads, queries, width)
    return answer if bool(seen.all()) else torch.where(seen[:, None, :, None], answer, 0.0)
