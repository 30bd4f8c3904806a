"""What a dilated causal convolution is: the definition, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.errors import UsageError
from harness.api.registry import kernel
from harness.kernels._checks import agree, one_dtype, state_dtype
from harness.kernels._contract import Contract
from harness.kernels._dispatch import accumulator

# B batch, C input channels, O output channels, T time, J taps, P steps of the past = (J - 1) dilation
CONTRACT = Contract(
    toy={"B": 2, "C": 5, "O": 3, "T": 17, "J": 3},
    gate="weight",
    time={"x_BCT": 2, "return": 2},
    state="past_BCP",
    cases=("depthwise", "full", "no past"),
)


@kernel(
    serves="TCNCA; the short convolutions of Mamba, xLSTM, Titans and Hyena; Conformer; forecasters",
    paper="van den Oord et al. 2016, arXiv:1609.03499; Bai et al. 2018, arXiv:1803.01271",
)
def causal_conv(
    x_BCT: torch.Tensor,
    weight: torch.Tensor,
    bias_O: torch.Tensor | None = None,
    past_BCP: torch.Tensor | None = None,
    dilation: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each step with earlier ones, `dilation` steps apart.

    y_t = bias + sum_j w_j x_{t - j dilation}: tap 0 meets the present (torch's conv1d counts taps from the past, so
    its weights are these flipped). x before the sequence is `past` [B, C, (J - 1) dilation], zero when absent.

    weight [C, J] convolves each channel alone; [O, C, J] mixes channels. Returns y [B, O, T] (O = C when depthwise) and
    the past to continue from, in the type of x. Raises UsageError when shapes, types or the dilation do not fit.

    Paper: van den Oord et al. 2016, arXiv:1609.03499, section 2.1. Differs from the paper: none.
    """
    carried, length, span = accumulator(x_BCT.dtype), x_BCT.shape[2], (weight.shape[-1] - 1) * dilation
    past = x_BCT.new_zeros(*x_BCT.shape[:2], span) if past_BCP is None else past_BCP.to(x_BCT.dtype)
    all_BCT = torch.cat((past, x_BCT), 2)
    mixing = "bc,cj->bcj" if weight.ndim == 2 else "bc,ocj->boj"
    answers = []
    for t in range(length):
        y_BO = torch.zeros((), dtype=carried, device=x_BCT.device) if bias_O is None else bias_O.to(carried)
        for j in range(weight.shape[-1]):
            step_BC = all_BCT[:, :, span + t - j * dilation].to(carried)
            y_BO = y_BO + torch.einsum(mixing, step_BC, weight[..., j : j + 1].to(carried))[..., 0]
        answers.append(y_BO)
    y_BOT = torch.stack(answers, 2) if answers else x_BCT.new_empty(x_BCT.shape[0], weight.shape[0], 0)
    return y_BOT.to(x_BCT.dtype), all_BCT[:, :, length:]


def check(
    x_BCT: torch.Tensor,
    weight: torch.Tensor,
    bias_O: torch.Tensor | None = None,
    past_BCP: torch.Tensor | None = None,
    dilation: int = 1,
) -> None:
    """UsageError in one line when the arguments do not fit each other."""
    op = "causal_conv"
    if weight.ndim not in (2, 3):
        raise UsageError(f"{op}: weight is {tuple(weight.shape)}; it must be [C, J], or [O, C, J] to mix channels.")
    if weight.ndim == 2:
        agree(op, x_BCT=x_BCT, weight_CJ=weight, bias_C=bias_O)
    else:
        agree(op, x_BCT=x_BCT, weight_OCJ=weight, bias_O=bias_O)
    dtype = one_dtype(op, x=x_BCT, weight=weight, bias=bias_O)
    if dilation < 1 or not weight.shape[-1]:
        raise UsageError(f"{op}: dilation is {dilation} and taps are {weight.shape[-1]}; both must be at least 1.")
    if past_BCP is not None:
        agree(op, x_BCT=x_BCT, past_BCP=past_BCP)
        state_dtype(op, dtype, past=past_BCP)
        if past_BCP.shape[2] != (weight.shape[-1] - 1) * dilation:
            raise UsageError(
                f"{op}: past holds {past_BCP.shape[2]} steps; {weight.shape[-1]} taps at dilation {dilation} need "
                f"{(weight.shape[-1] - 1) * dilation}."
            )


def inputs(size: Mapping[str, int], seed: int, case: str = "depthwise") -> dict[str, Any]:
    """Float64 arguments, unit-normal, taps scaled by their number; dilation 2 but for the case without past."""
    B, C, O, T, J = ({**CONTRACT.toy, **size}[letter] for letter in "BCOTJ")  # noqa: E741
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    dilation = 1 if case == "no past" else 2
    full = case == "full"
    return {
        "x_BCT": normal(B, C, T),
        "weight": (normal(O, C, J) if full else normal(C, J)) / (J * (C if full else 1)) ** 0.5,
        "bias_O": normal(O if full else C),
        "past_BCP": None if case == "no past" else normal(B, C, (J - 1) * dilation),
        "dilation": dilation,
    }
