"""What a prefix softmax is: the definition, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.api.errors import UsageError
from harness.api.registry import kernel
from harness.kernels._checks import agree, one_dtype, state_dtype
from harness.kernels._contract import Contract
from harness.kernels._dispatch import accumulator

# B batch, H heads, T time, V width of a value
State = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # m [B, H], u [B, H], w [B, H, V]

CONTRACT = Contract(
    toy={"B": 2, "H": 3, "T": 17, "V": 5},
    gate="score_BHT",
    time={"score_BHT": 2, "v_BHTV": 2, "return": 2},
    state="state",
    cases=("plain", "no state"),
    extremes=("scores +-60", "rising scores"),
)


@kernel(
    serves="Aaren; the combining step of split key-value decoding",
    paper="Feng et al. 2024, arXiv:2405.13956",
)
def prefix_softmax(
    score_BHT: torch.Tensor, v_BHTV: torch.Tensor, state: State | None = None
) -> tuple[torch.Tensor, State]:
    """Attend from one fixed query to every prefix.

    y_t = w_t / u_t, with m_t = max(m_{t-1}, s_t), u_t = u_{t-1} e^{m_{t-1} - m_t} + e^{s_t - m_t} and
    w_t = w_{t-1} e^{m_{t-1} - m_t} + e^{s_t - m_t} v_t; from (-inf, 0, 0) this is softmax(s_1..s_t) . v_1..v_t.

    score is [B, H, T] and finite (mask with a large negative number), v is [B, H, T, V]. Returns y [B, H, T, V] and the
    state (m, u, w) in the type that carries state. m is a scale: it has no gradient.
    Raises UsageError when shapes or types differ.

    Paper: Feng et al. 2024, arXiv:2405.13956, section 3.2. Differs from the paper: none.
    """
    carried = accumulator(v_BHTV.dtype)
    m_BH, u_BH, w_BHV = empty_state(v_BHTV) if state is None else (item.to(carried) for item in state)
    m_BH = m_BH.detach()
    answers = []
    for score, v in zip(score_BHT.to(carried).unbind(2), v_BHTV.to(carried).unbind(2), strict=True):
        highest = torch.maximum(m_BH, score).detach()
        kept, weight = torch.exp(m_BH - highest), torch.exp(score - highest)
        m_BH, u_BH = highest, u_BH * kept + weight
        w_BHV = w_BHV * kept[..., None] + weight[..., None] * v
        answers.append(w_BHV / u_BH[..., None])
    y_BHTV = torch.stack(answers, 2) if answers else torch.empty_like(v_BHTV)
    return y_BHTV.to(v_BHTV.dtype), (m_BH, u_BH, w_BHV)


def empty_state(v_BHTV: torch.Tensor) -> State:
    """The state before anything was seen: (-inf, 0, 0)."""
    dtype = accumulator(v_BHTV.dtype)
    rows = v_BHTV.shape[:2]
    m_BH = v_BHTV.new_full(rows, -torch.inf, dtype=dtype)
    return m_BH, torch.zeros_like(m_BH), v_BHTV.new_zeros(*rows, v_BHTV.shape[3], dtype=dtype)


def check(score_BHT: torch.Tensor, v_BHTV: torch.Tensor, state: State | None = None) -> None:
    """UsageError in one line when the arguments do not fit each other."""
    op = "prefix_softmax"
    if state is not None and len(state) != 3:
        raise UsageError(f"{op}: state has {len(state)} parts; it must have three (m, u, w).")
    m_BH, u_BH, w_BHV = state or (None, None, None)
    agree(op, score_BHT=score_BHT, v_BHTV=v_BHTV, m_BH=m_BH, u_BH=u_BH, w_BHV=w_BHV)
    dtype = one_dtype(op, score=score_BHT, v=v_BHTV)
    state_dtype(op, dtype, m=m_BH, u=u_BH, w=w_BHV)


def inputs(size: Mapping[str, int], seed: int, case: str = "plain") -> dict[str, Any]:
    """Float64 arguments: scores of standard deviation 2, unit-normal values; the cases of CONTRACT."""
    B, H, T, V = ({**CONTRACT.toy, **size}[letter] for letter in "BHTV")
    rng = torch.Generator().manual_seed(seed)
    score = 2.0 * torch.randn(B, H, T, generator=rng, dtype=torch.float64)
    v = torch.randn(B, H, T, V, generator=rng, dtype=torch.float64)
    if case == "scores +-60":
        score = 60.0 * torch.sign(score)
    if case == "rising scores":
        score = torch.linspace(-300.0, 300.0, T, dtype=torch.float64).expand(B, H, T).clone()
    m = torch.randn(B, H, generator=rng, dtype=torch.float64)
    u = 1.0 + torch.rand(B, H, generator=rng, dtype=torch.float64)
    w = torch.randn(B, H, V, generator=rng, dtype=torch.float64)
    return {"score_BHT": score, "v_BHTV": v, "state": None if case == "no state" else (m, u, w)}
