"""How is a long convolution done on a GPU? cuFFT's transforms, and Triton kernels for the products over frequencies.

The backward kernel reads signal, filter and gradient once and writes both gradients: the product of signal and
gradient, as large as the signal's transform, is summed over the batch in registers.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from harness.kernels._ahead_of_time import Ahead
from harness.kernels.long_conv._fourier import convolve

# B batch, H channels, F frequencies; complex numbers travel as interleaved reals
BLOCK = 512


def long_conv(
    x_BHT: torch.Tensor,
    filter_HK: torch.Tensor,
    skip_H: torch.Tensor | None = None,
    past_BHP: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As the reference, in O(T log T); half types are transformed in float32 (cuFFT's own need powers of two)."""
    return convolve(x_BHT, filter_HK, skip_H, past_BHP, _product, _adjoint)


def _product(x_BHF: torch.Tensor, filter_HF: torch.Tensor) -> torch.Tensor:
    x, k = torch.view_as_real(x_BHF.contiguous()), torch.view_as_real(filter_HF.contiguous())
    y, each = torch.empty_like(x), filter_HF.numel()
    _multiply[(triton.cdiv(each, BLOCK), x_BHF.shape[0])](x, k, y, each, BLOCK=BLOCK)
    return torch.view_as_complex(y)


def _adjoint(x_BHF: torch.Tensor, filter_HF: torch.Tensor, grad_BHF: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x, k, grad = (torch.view_as_real(item.contiguous()) for item in (x_BHF, filter_HF, grad_BHF))
    grad_x, grad_k, each = torch.empty_like(x), torch.empty_like(k), filter_HF.numel()
    _multiply_back[(triton.cdiv(each, BLOCK),)](x, k, grad, grad_x, grad_k, each, x_BHF.shape[0], BLOCK=BLOCK)
    return torch.view_as_complex(grad_x), torch.view_as_complex(grad_k)


@triton.jit
def _multiply(x, k, y, EACH, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Multiply row b of x by k; EACH complex numbers a row."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < EACH
    row = (tl.program_id(1).to(tl.int64) * EACH + at) * 2
    x_r, x_i = tl.load(x + row, mask=inside, other=0.0), tl.load(x + row + 1, mask=inside, other=0.0)
    k_r, k_i = tl.load(k + at * 2, mask=inside, other=0.0), tl.load(k + at * 2 + 1, mask=inside, other=0.0)
    tl.store(y + row, x_r * k_r - x_i * k_i, mask=inside)
    tl.store(y + row + 1, x_r * k_i + x_i * k_r, mask=inside)


@triton.jit
def _multiply_back(x, k, grad, grad_x, grad_k, EACH, ROWS, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write grad_x = conj(k) grad and grad_k = sum over rows of conj(x) grad."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < EACH
    k_r, k_i = tl.load(k + at * 2, mask=inside, other=0.0), tl.load(k + at * 2 + 1, mask=inside, other=0.0)
    sum_r, sum_i = tl.zeros_like(k_r), tl.zeros_like(k_r)
    row = at * 2
    b = 0
    while b < ROWS:
        x_r, x_i = tl.load(x + row, mask=inside, other=0.0), tl.load(x + row + 1, mask=inside, other=0.0)
        g_r, g_i = tl.load(grad + row, mask=inside, other=0.0), tl.load(grad + row + 1, mask=inside, other=0.0)
        tl.store(grad_x + row, k_r * g_r + k_i * g_i, mask=inside)
        tl.store(grad_x + row + 1, k_r * g_i - k_i * g_r, mask=inside)
        sum_r += x_r * g_r + x_i * g_i
        sum_i += x_r * g_i - x_i * g_r
        # advancing the 64-bit offset avoids a product that overflows 32 bits
        row += EACH * 2
        b += 1
    tl.store(grad_k + at * 2, sum_r, mask=inside)
    tl.store(grad_k + at * 2 + 1, sum_i, mask=inside)


AHEAD = (
    Ahead(_multiply, {**dict.fromkeys(("x", "k", "y"), "*fp32"), "EACH": "i32"}, {"BLOCK": BLOCK}),
    Ahead(
        _multiply_back,
        {**dict.fromkeys(("x", "k", "grad", "grad_x", "grad_k"), "*fp32"), "EACH": "i32", "ROWS": "i32"},
        {"BLOCK": BLOCK},
    ),
)
