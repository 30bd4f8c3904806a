"""A tree of 64 nodes over a long cache against torch's attention with a dense mask."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from harness.kernels._dispatch import operation
from harness.kernels.tree_attention import _masks
from kernel_rows._row import Row, Work

tree_attention = operation("tree_attention")


def against_dense(context: int, heads: int, width: int, device: str, dtype: torch.dtype) -> tuple[Work, Work]:
    rng = torch.Generator().manual_seed(0)
    q = torch.randn(1, heads, 64, width, generator=rng).to(device, dtype)
    k, v = (torch.randn(1, heads, context + 64, width, generator=rng).to(device, dtype) for _ in range(2))
    tree = _masks.tree([(node - 1) // 2 if node else -1 for node in range(64)], device)
    dense = torch.cat((torch.ones(64, context, dtype=torch.bool, device=device), tree), 1)
    return (
        lambda: tree_attention(q, k, v, tree.unsqueeze(0)),
        lambda: scaled_dot_product_attention(q, k, v, attn_mask=dense),
    )


def copy_bandwidth(context: int, heads: int, width: int) -> tuple[Work, Work]:
    """Keys and values are read once; copying the keys reads and writes as many bytes."""
    ours, _ = against_dense(context, heads, width, "cuda", torch.bfloat16)
    keys = torch.randn(1, heads, context + 64, width, device="cuda").to(torch.bfloat16)
    return ours, lambda: keys.clone()


ROWS = (
    Row("64 nodes over 8192 keys H8 D64 vs SDPA", lambda: against_dense(8192, 8, 64, "cpu", torch.float32), rounds=9),
    Row(
        "H100 bf16 64 nodes over 8192 keys H32 D128 vs SDPA with a dense mask",
        lambda: against_dense(8192, 32, 128, "cuda", torch.bfloat16),
        at_least=1.5,
        device="cuda",
    ),
    Row(
        "H100 bf16 64 nodes over 8192 keys H32 D128 vs copying as many bytes",
        lambda: copy_bandwidth(8192, 32, 128),
        at_least=0.8,
        device="cuda",
    ),
)
