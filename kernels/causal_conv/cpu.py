"""How is a dilated causal convolution fast on a CPU? By torch's own convolution, or tap by tap where that is slow.

A depthwise one of few taps is a sum of shifted products (`benchmarks/kernels.py` times it beside torch's). Its
gradients never go through torch, whose dilated depthwise backward is far dearer than its forward: that of the input is
again a convolution, that of the weights one product with a strided view, or one reduction a tap.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch.nn.functional import conv1d, pad

from harness.kernels._dispatch import accumulator

FEW = 8  # taps up to which a loop over them is faster than a convolution


def causal_conv(
    x_BCT: torch.Tensor,
    weight: torch.Tensor,
    bias_O: torch.Tensor | None = None,
    past_BCP: torch.Tensor | None = None,
    dilation: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The causal convolution of `reference.py` by `conv1d` or shifts."""
    length, carried = x_BCT.shape[2], accumulator(x_BCT.dtype)
    span = (weight.shape[-1] - 1) * dilation
    past = x_BCT.new_zeros(*x_BCT.shape[:2], span) if past_BCP is None else past_BCP.to(x_BCT.dtype)
    all_BCT = torch.cat((past, x_BCT), 2)
    if not length:
        return x_BCT.new_empty(x_BCT.shape[0], weight.shape[0], 0), all_BCT
    taps = weight.flip(-1).to(carried)
    bias = None if bias_O is None else bias_O.to(carried)
    if weight.ndim == 3:
        y_BOT = conv1d(all_BCT.to(carried), taps, bias, dilation=dilation)
    else:
        y_BOT = _Depthwise.apply(all_BCT.to(carried), taps, dilation)  # type: ignore[no-untyped-call]
        y_BOT = y_BOT if bias is None else y_BOT + bias[:, None]
    return y_BOT.to(x_BCT.dtype), all_BCT[:, :, length:]


@final
class _Depthwise(torch.autograd.Function):
    """y_t = sum over j of taps_j all_{t + j dilation}, channel by channel."""

    @staticmethod
    def forward(ctx: Any, all_BCS: torch.Tensor, taps_CK: torch.Tensor, dilation: int) -> torch.Tensor:
        ctx.save_for_backward(all_BCS, taps_CK)
        ctx.dilation = dilation
        length = all_BCS.shape[2] - (taps_CK.shape[1] - 1) * dilation
        if taps_CK.shape[1] > FEW:
            return conv1d(all_BCS, taps_CK[:, None], dilation=dilation, groups=len(taps_CK))
        y_BCT = all_BCS[:, :, :length] * taps_CK[:, 0, None]
        for place in range(1, taps_CK.shape[1]):
            seen = _seen(all_BCS, place * dilation, length)
            y_BCT.addcmul_(seen, taps_CK[:, place, None])
        return y_BCT

    @staticmethod
    def backward(ctx: Any, grad_BCT: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        all_BCS, taps_CK = ctx.saved_tensors
        dilation, taps, length = ctx.dilation, taps_CK.shape[1], grad_BCT.shape[2]
        of_all = of_taps = None
        if ctx.needs_input_grad[0] and taps > FEW:
            span = (taps - 1) * dilation
            of_all = conv1d(
                pad(grad_BCT, (span, span)), taps_CK.flip(-1)[:, None], dilation=dilation, groups=len(taps_CK)
            )
        elif ctx.needs_input_grad[0]:
            of_all = torch.zeros_like(all_BCS)
            for place in range(taps):
                _seen(of_all, place * dilation, length).addcmul_(grad_BCT, taps_CK[:, place, None])
        if ctx.needs_input_grad[1] and len(all_BCS) == 1:
            strides = (all_BCS.stride(1), dilation * all_BCS.stride(2), all_BCS.stride(2))
            windows_CKT = all_BCS.as_strided((len(taps_CK), taps, length), strides)
            of_taps = (windows_CKT @ grad_BCT[0, :, :, None])[..., 0]
        elif ctx.needs_input_grad[1]:
            sums = [(_seen(all_BCS, place * dilation, length) * grad_BCT).sum(2).sum(0) for place in range(taps)]
            of_taps = torch.stack(sums, 1)
        return of_all, of_taps, None


def _seen(all_BCS: torch.Tensor, begin: int, length: int) -> torch.Tensor:
    """What a tap sees [B, C, T]."""
    return all_BCS[:, :, begin : begin + length]
