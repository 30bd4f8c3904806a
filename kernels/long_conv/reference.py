"""What is a long causal convolution? The definition, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.errors import UsageError
from harness.api.registry import kernel
from harness.kernels._checks import agree, one_dtype, state_dtype
from harness.kernels._contract import Contract
from harness.kernels._dispatch import accumulator

# B batch, H channels, T time, K taps of the filter, P steps of the past (P = K - 1)
CONTRACT = Contract(
    toy={"B": 2, "H": 3, "T": 17},
    gate="filter_HK",
    time={"x_BHT": 2, "return": 2},
    state="past_BHP",
    cases=("plain", "no past", "no skip", "short filter"),
)


@kernel(
    serves="LSSL, S4, S4D, DSS, S4ND, GSS, Hyena and MEGA's moving average, in their parallel form",
    paper="Gu et al. 2021, LSSL, arXiv:2110.13985; Poli et al. 2023, Hyena, arXiv:2302.10866",
)
def long_conv(
    x_BHT: torch.Tensor,
    filter_HK: torch.Tensor,
    skip_H: torch.Tensor | None = None,
    past_BHP: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Convolve each channel causally with its own filter, which may be as long as the sequence.

    y_t = sum_j k_j x_{t-j} + skip x_t; x before the sequence is `past` [B, H, K - 1], zero when absent.

    Returns y [B, H, T] and the past to continue from, both in the type of x. O(T log T) work on the fast paths.
    Filters come from `vandermonde` or from `_generators` (krylov, ema, implicit). Raises UsageError when shapes or
    types differ.

    Paper: Gu et al. 2021, arXiv:2110.13985, section 3.2. Differs from the paper: none.
    """
    carried, taps = accumulator(x_BHT.dtype), filter_HK.shape[1]
    past = x_BHT.new_zeros(*x_BHT.shape[:2], taps - 1) if past_BHP is None else past_BHP.to(x_BHT.dtype)
    all_BHT = torch.cat((past, x_BHT), 2)
    backwards_HK = filter_HK.to(carried).flip(1)
    answers = []
    for t in range(x_BHT.shape[2]):
        y_BH = (all_BHT[:, :, t : t + taps].to(carried) * backwards_HK).sum(2)
        answers.append(y_BH if skip_H is None else y_BH + skip_H.to(carried) * x_BHT[:, :, t].to(carried))
    y_BHT = torch.stack(answers, 2).to(x_BHT.dtype) if answers else x_BHT
    return y_BHT, all_BHT[:, :, x_BHT.shape[2] :]


def check(
    x_BHT: torch.Tensor,
    filter_HK: torch.Tensor,
    skip_H: torch.Tensor | None = None,
    past_BHP: torch.Tensor | None = None,
) -> None:
    """UsageError in one line when the arguments do not fit each other."""
    sizes = agree("long_conv", x_BHT=x_BHT, filter_HK=filter_HK, skip_H=skip_H, past_BHP=past_BHP)
    if sizes["K"] < 1:
        raise UsageError("long_conv: filter has no taps; it must have at least one.")
    if sizes.get("P", sizes["K"] - 1) != sizes["K"] - 1:
        raise UsageError(
            f"long_conv: past holds {sizes['P']} steps but the filter has {sizes['K']} taps; it needs {sizes['K'] - 1}."
        )
    dtype = one_dtype("long_conv", x=x_BHT, filter=filter_HK, skip=skip_H)
    state_dtype("long_conv", dtype, past=past_BHP)


def inputs(size: Mapping[str, int], seed: int, case: str = "plain") -> dict[str, Any]:
    """Float64 arguments: a unit-normal signal and a decaying filter as long as it; the cases of CONTRACT."""
    B, H, T = ({**CONTRACT.toy, **size}[letter] for letter in "BHT")
    K = 3 if case == "short filter" else max(1, T)
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    return {
        "x_BHT": normal(B, H, T),
        "filter_HK": normal(H, K) * torch.exp(-3.0 * torch.arange(K) / K),
        "skip_H": None if case == "no skip" else normal(H),
        "past_BHP": None if case == "no past" else normal(B, H, K - 1),
    }
