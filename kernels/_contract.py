"""What an operation says of itself so that the shared tests, the benchmark and the speed tasks can try it.

Each `kernels/<op>/reference.py` holds, beside the function:

    CONTRACT = Contract(...)
    def inputs(size, seed, case=...) -> dict[str, Any]   # float64 keyword arguments; absent sizes are CONTRACT.toy's
    def check(...same signature...) -> None              # UsageError in one line
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

# Bound on |answer - truth| / |truth| (Frobenius norm; truth in float64 from the same rounded inputs). A half type
# alone costs 2^-11 / sqrt(3) = 3e-4 or 2^-8 / sqrt(3) = 2e-3 when the answer is rounded to it.
TOLERANCE: Mapping[torch.dtype, float] = {
    torch.float32: 1e-5,
    torch.complex64: 1e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1e-2,
}
LENGTHS = (0, 1, 63, 64, 65, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The facts of one operation.

    `toy` gives every size letter a small odd value, time under "T". `time` names the axis of time of each argument
    that has one; the first output's is under "return". `state` is the argument that continues a split sequence: the
    operation's second output is what it takes. `gate` is the argument whose entry the mutation check moves by 1 %.
    `cases` are the variants that `inputs` can make; `extremes` are those that must only stay finite.
    """

    toy: Mapping[str, int]
    gate: str
    time: Mapping[str, int] = field(default_factory=dict)
    state: str = ""  # empty: cannot be continued
    cases: tuple[str, ...] = ("plain",)
    extremes: tuple[str, ...] = ()
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float16, torch.bfloat16)
    gpu_length: int = 19  # time steps of the contract under Triton's interpreter
    lengths: tuple[int, ...] = LENGTHS


def relative_error(answer: torch.Tensor, truth: torch.Tensor) -> float:
    """Frobenius norm of the difference over that of the truth; infinite where one is not finite and they differ."""
    answer, truth = answer.detach().to(truth.dtype), truth.detach()
    if answer.shape != truth.shape:
        return float("inf")
    same = answer == truth
    difference = torch.where(same, torch.zeros_like(truth), answer - truth)
    if not torch.isfinite(difference).all():
        return float("inf")
    error = float(torch.linalg.vector_norm(difference))
    scale = float(torch.linalg.vector_norm(torch.where(same & ~torch.isfinite(truth), torch.zeros_like(truth), truth)))
    return 0.0 if error == 0.0 else error / scale if scale else float("inf")
