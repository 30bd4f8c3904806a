"""In which type a GPU kernel multiplies matrices: half types as they are, float32 as three tf32 products."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from harness.kernels._dispatch import interpreting


def product_type(dtype: torch.dtype) -> Any:
    """The Triton type for `product`, given the type of the arguments that the caller passed."""
    half = {torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
    # the interpreter multiplies bfloat16 wrongly, and float32 exactly
    return tl.float32 if interpreting() else half.get(dtype, tl.float32)


@triton.jit
def product(a, b, DOT: tl.constexpr):  # type: ignore[no-untyped-def]
    """Matrix product of two tiles, summed in float32; plain tf32 would miss the bound of 1e-5."""
    return tl.dot(a.to(DOT), b.to(DOT), input_precision="tf32x3" if tl.float32 == DOT else "tf32")
