"""Prefix softmax against causal attention, which answers the same question with every key kept."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from harness.kernels._dispatch import operation
from kernel_rows._row import Row, Work

prefix_softmax = operation("prefix_softmax")


def against_attention(length: int) -> tuple[Work, Work]:
    rng = torch.Generator().manual_seed(0)
    score = torch.randn(1, 8, length, generator=rng)
    v = torch.randn(1, 8, length, 64, generator=rng)
    # one query of ones for every position, and keys whose first channel is the score
    q = torch.ones(1, 8, length, 64)
    k = torch.zeros(1, 8, length, 64)
    k[..., 0] = score
    return (
        torch.no_grad()(lambda: prefix_softmax(score, v)),
        torch.no_grad()(lambda: scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)),
    )


ROWS = (
    Row("fwd B1 H8 T2048 D64 vs causal SDPA", lambda: against_attention(2048)),
    Row("fwd B1 H8 T8192 D64 vs causal SDPA", lambda: against_attention(8192), rounds=7),
)
