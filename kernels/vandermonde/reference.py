"""What is a Vandermonde filter? A sum of exponentials, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.errors import UsageError
from harness.api.registry import kernel
from harness.kernels._checks import agree, one_dtype
from harness.kernels._contract import Contract

# H channels, N exponentials (states) of a channel, L steps of the filter
CONTRACT = Contract(
    toy={"H": 3, "N": 5, "T": 17},
    gate="rate_HN",
    time={"return": 1},
    cases=("real", "complex"),
    extremes=("decay one", "decay zero"),
    dtypes=(torch.float32,),
)


@kernel(
    serves="the filters of S4D, DSS, S4ND, GSS and LRU (complex) and of MEGA's moving average (real)",
    paper="Gu et al. 2022, S4D, arXiv:2206.11893; Ma et al. 2022, MEGA, arXiv:2209.10655",
)
def vandermonde(weight_HN: torch.Tensor, rate_HN: torch.Tensor, length: int) -> torch.Tensor:
    """Generate each channel's filter as a sum of exponentials.

    k_l = Re sum_n weight_n exp(rate_n l) for l = 0 .. length - 1.

    weight and rate are [H, N], both real or both complex; returns k [H, length], real. Of a conjugate pair give one
    member with twice its weight. Phases are reduced in float64, so that float32 stays exact at any length. Raises
    UsageError when shapes or types differ or the length is negative.

    Paper: Gu et al. 2022, arXiv:2206.11893, section 3.1. Differs from the paper: discretisation is left to the caller
    (rate = dt A; weight = 2 C (exp(dt A) - 1) / A B).
    """
    steps = [(weight_HN * torch.exp(rate_HN * step)).sum(1) for step in range(length)]
    filter_HL = torch.stack(steps, 1) if steps else weight_HN[:, :0]
    return filter_HL.real if filter_HL.is_complex() else filter_HL


def check(weight_HN: torch.Tensor, rate_HN: torch.Tensor, length: int) -> None:
    """UsageError in one line when the arguments do not fit each other."""
    agree("vandermonde", weight_HN=weight_HN, rate_HN=rate_HN)
    dtype = one_dtype("vandermonde", allow_complex=True, weight=weight_HN, rate=rate_HN)
    if dtype in (torch.float16, torch.bfloat16):
        raise UsageError("vandermonde: rates need float32 or float64; half types cannot hold a phase. Cast them.")
    if length < 0:
        raise UsageError(f"vandermonde: length is {length}; it must not be negative.")


def inputs(size: Mapping[str, int], seed: int, case: str = "real") -> dict[str, Any]:
    """Float64 arguments: S4D-Lin's poles for steps between 1e-3 and 1e-1, or decays around 0.9."""
    H, N, length = ({**CONTRACT.toy, **size}[letter] for letter in "HNT")
    rng = torch.Generator().manual_seed(seed)
    dtype = torch.complex128 if case == "complex" else torch.float64
    weight = torch.randn(H, N, generator=rng, dtype=dtype)
    step = 10 ** (torch.rand(H, 1, generator=rng, dtype=torch.float64) * 2 - 3)
    if case == "complex":
        rate = step * torch.complex(torch.tensor(-0.5, dtype=torch.float64), torch.pi * torch.arange(N).double())
    else:
        rate = torch.nn.functional.logsigmoid(torch.randn(H, N, generator=rng, dtype=torch.float64) + 2)
    if case == "decay one":
        rate = torch.zeros_like(rate)
    if case == "decay zero":
        rate = torch.full_like(rate, -60.0)
    return {"weight_HN": weight, "rate_HN": rate, "length": length}
