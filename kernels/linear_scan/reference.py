"""What a linear scan is: the definition, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.registry import kernel
from harness.kernels._checks import agree, one_dtype, state_dtype
from harness.kernels._contract import Contract
from harness.kernels._dispatch import accumulator

# B batch, T time, N channels (any state axes, flattened)
CONTRACT = Contract(
    toy={"B": 2, "T": 16, "N": 5},
    gate="gate_BTN",
    time={"gate_BTN": 1, "x_BTN": 1, "return": 1},
    state="start_BN",
    cases=("real", "complex", "no start"),
    extremes=("decay one", "decay zero"),
)


@kernel(
    serves="S4, S4D, DSS, LRU, Mamba-1, MEGA's moving average, GSS, Titans' momentum and memory",
    paper="Blelloch 1990, Prefix sums and their applications; Martin and Cundy 2018, arXiv:1709.04057",
)
def linear_scan(
    gate_BTN: torch.Tensor, x_BTN: torch.Tensor, start_BN: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a diagonal linear recurrence over time.

    h_t = gate_t * h_{t-1} + x_t, h_{-1} = start (zero when absent); every product is elementwise.

    gate and x are [B, T, N], real or both complex; the answers are all h [B, T, N] in their type and the last h [B, N]
    in the type that carries state (float32 beside half types). A sequence of length zero hands `start` back.
    Raises UsageError when shapes or types differ.

    Paper: Martin and Cundy 2018, arXiv:1709.04057. Differs from the paper: none.
    """
    carried = accumulator(x_BTN.dtype)
    h_BN = x_BTN.new_zeros(x_BTN.shape[::2], dtype=carried) if start_BN is None else start_BN.to(carried)
    steps = []
    for gate, x in zip(gate_BTN.unbind(1), x_BTN.unbind(1), strict=True):
        h_BN = gate.to(carried) * h_BN + x.to(carried)
        steps.append(h_BN)
    h_BTN = torch.stack(steps, 1) if steps else torch.empty_like(x_BTN)
    return h_BTN.to(x_BTN.dtype), h_BN


def check(gate_BTN: torch.Tensor, x_BTN: torch.Tensor, start_BN: torch.Tensor | None = None) -> None:
    """UsageError in one line when the arguments do not fit each other."""
    agree("linear_scan", gate_BTN=gate_BTN, x_BTN=x_BTN, start_BN=start_BN)
    dtype = one_dtype("linear_scan", allow_complex=True, gate=gate_BTN, x=x_BTN)
    state_dtype("linear_scan", dtype, start=start_BN)


def inputs(size: Mapping[str, int], seed: int, case: str = "real") -> dict[str, Any]:
    """Float64 arguments: decays around 0.9 and unit-normal inputs; the cases of CONTRACT."""
    B, T, N = ({**CONTRACT.toy, **size}[letter] for letter in "BTN")
    rng = torch.Generator().manual_seed(seed)
    dtype = torch.complex128 if case == "complex" else torch.float64
    gate = torch.sigmoid(torch.randn(B, T, N, generator=rng, dtype=torch.float64) + 2.0)
    if case == "complex":
        gate = torch.polar(gate, torch.randn(B, T, N, generator=rng, dtype=torch.float64))
    if case == "decay one":
        gate = torch.ones_like(gate)
    if case == "decay zero":
        gate = gate * 0.0 + torch.sigmoid(torch.tensor(-60.0, dtype=torch.float64))
    x = torch.randn(B, T, N, generator=rng, dtype=dtype)
    start = None if case == "no start" else torch.randn(B, N, generator=rng, dtype=dtype)
    return {"gate_BTN": gate, "x_BTN": x, "start_BN": start}
