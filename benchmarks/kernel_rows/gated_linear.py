"""Gated linear attention against its own loop, torch's causal attention and, on a GPU, flash-linear-attention."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import logsigmoid, scaled_dot_product_attention

from harness.kernels._dispatch import operation
from kernel_rows._row import Row, Work

gated_linear = operation("gated_linear")


def arguments(
    batch: int, heads: int, length: int, width: int, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, ...]:
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(batch, heads, length, width, generator=rng) for _ in range(3))
    gate = logsigmoid(torch.randn(batch, heads, length, generator=rng) + 2.0)
    made = (q, k / width**0.5, v, gate)
    return tuple(tensor.to(device, dtype).requires_grad_() for tensor in made)


def against_loop(length: int, backward: bool) -> tuple[Work, Work]:
    q, k, v, gate = arguments(1, 8, length, 64)
    return answer(lambda: gated_linear(q, k, v, gate)[0], (q, k, v, gate), backward), answer(
        lambda: gated_linear(q, k, v, gate, path="reference")[0], (q, k, v, gate), backward
    )


def against_attention(length: int, backward: bool) -> tuple[Work, Work]:
    q, k, v, gate = arguments(1, 8, length, 64)
    return answer(lambda: gated_linear(q, k, v, gate)[0], (q, k, v, gate), backward), answer(
        lambda: scaled_dot_product_attention(q, k, v, is_causal=True), (q, k, v), backward
    )


def against_fla(form: str, batch: int, heads: int, length: int, width: int, backward: bool) -> tuple[Work, Work]:
    """One of its forms of the same recurrence; its arrays hold time before heads."""
    from fla.ops import simple_gla

    q, k, v, gate = arguments(batch, heads, length, width, "cuda", torch.bfloat16)
    theirs = [tensor.detach().transpose(1, 2).contiguous().requires_grad_() for tensor in (q, k, v, gate)]
    run = getattr(simple_gla, form)
    return answer(lambda: gated_linear(q, k, v, gate)[0], (q, k, v, gate), backward), answer(
        lambda: run(*theirs[:3], g=theirs[3], scale=1.0)[0], tuple(theirs), backward
    )


def answer(forward: Work, inputs: tuple[torch.Tensor, ...], backward: bool) -> Work:
    if backward:
        return lambda: torch.autograd.grad(forward().sum(), inputs)  # type: ignore[attr-defined]
    return torch.no_grad()(forward)


# which of its forms is the fastest depends on the shape and the GPU
FLA_FORMS = ("chunk_simple_gla", "fused_chunk_simple_gla", "parallel_simple_gla")

ROWS = (
    Row("fwd+bwd B1 H8 L2048 D64 vs the loop", lambda: against_loop(2048, True), at_least=20.0, rounds=5),
    Row("fwd B1 H8 L2048 D64 vs the loop", lambda: against_loop(2048, False), at_least=20.0, rounds=9),
    Row("fwd+bwd B1 H8 L4096 D64 vs causal SDPA", lambda: against_attention(4096, True), at_least=1.0, rounds=9),
    Row("fwd B1 H8 L4096 D64 vs causal SDPA", lambda: against_attention(4096, False), at_least=1.0, rounds=9),
    Row("fwd+bwd B1 H8 L2048 D64 vs causal SDPA", lambda: against_attention(2048, True), rounds=9),
    *(
        Row(
            f"H100 bf16 {name} B{batch} T{length} H{heads} D{width} vs fla {form}",
            partial(against_fla, form, batch, heads, length, width, backward),
            at_least=1 / 1.2,
            device="cuda",
            needs="fla",
        )
        for batch, length, heads, width in ((8, 2048, 8, 64), (1, 8192, 32, 128))
        for form in FLA_FORMS
        for name, backward in (("fwd", False), ("fwd+bwd", True))
    ),
)
