"""What gated linear attention is: the definition, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch.nn.functional import logsigmoid

from harness.api.errors import UsageError
from harness.api.registry import kernel
from harness.kernels._checks import agree, one_dtype, state_dtype
from harness.kernels._contract import Contract
from harness.kernels._dispatch import accumulator

# B batch, H heads, T time, K width of a key, V width of a value
Normaliser = Literal["none", "sum", "mlstm"]
State = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]  # S [B, H, K, V], n [B, H, K], m [B, H]

CONTRACT = Contract(
    toy={"B": 2, "H": 2, "T": 19, "K": 5, "V": 3},
    gate="log_forget",
    time={"q_BHTK": 2, "k_BHTK": 2, "v_BHTV": 2, "log_forget": 2, "log_input_BHT": 2, "return": 2},
    state="state",
    gpu_length=70,  # two chunks
    cases=("plain", "mlstm", "sum", "vector gate", "no state"),
    extremes=("forget one", "forget zero", "mlstm +-60"),
)


@kernel(
    serves="Mamba-2, mLSTM, Performer and linear attention (causal), pLSTM in 1-D, Titans with linear memory, GLA",
    paper="Dao and Gu 2024, arXiv:2405.21060; Beck et al. 2024, arXiv:2405.04517; Yang et al. 2023, arXiv:2312.06635",
)
def gated_linear(
    q_BHTK: torch.Tensor,
    k_BHTK: torch.Tensor,
    v_BHTV: torch.Tensor,
    log_forget: torch.Tensor,
    log_input_BHT: torch.Tensor | None = None,
    state: State | None = None,
    normaliser: Normaliser = "none",
) -> tuple[torch.Tensor, State]:
    """Read a matrix memory that forgets, one write a step.

    S_t = f_t S_{t-1} + i_t k_t v_t^T,  n_t = f_t n_{t-1} + i_t k_t,  with f = exp(log_forget), i = exp(log_input) and
    "none":  y_t = q_t S_t
    "sum":   y_t = q_t S_t / (q_t . n_t), for features that keep the sum positive
    "mlstm": y_t = q_t S_t / max(|q_t . n_t|, 1), computed with S and n divided by e^{m_t},
             m_t = max(log f_t + m_{t-1}, log i_t)

    log_forget is [B, H, T], or [B, H, T, K] for a gate of each key channel (not with "mlstm"); it must be <= 0 for the
    decay to be one. The caller scales q or k. Returns y [B, H, T, V] and the state (S [B, H, K, V], n [B, H, K] or
    None, m [B, H] or None) to continue from, in the type that carries state. m is a scale: it has no gradient.
    Raises UsageError when shapes, types or options do not fit.

    Paper: Beck et al. 2024, arXiv:2405.04517, equations 19-27. Differs from the paper: the official code adds 1e-6 to
    the denominator; the bound e^{-m} already keeps it from zero.
    """
    batch, heads, _, keys = k_BHTK.shape
    carried = accumulator(v_BHTV.dtype)
    q_BHTK, k_BHTK, values = (tensor.to(carried) for tensor in (q_BHTK, k_BHTK, v_BHTV))
    log_forget = log_forget.to(carried)
    if log_input_BHT is not None:
        log_input_BHT = log_input_BHT.to(carried)
    if state is None:
        state = empty_state(batch, heads, keys, v_BHTV.shape[-1], normaliser, like=values)
    S_BHKV, n_BHK, m_BH = (None if item is None else item.to(carried) for item in state)
    assert S_BHKV is not None
    answers = []
    for t in range(v_BHTV.shape[2]):
        forget = log_forget[:, :, t] if log_forget.ndim == 4 else log_forget[:, :, t, None]
        write = torch.zeros_like(forget[..., 0]) if log_input_BHT is None else log_input_BHT[:, :, t]
        shift_BH = torch.zeros_like(write)
        if m_BH is not None:
            before = m_BH.detach()
            m_BH = torch.maximum(forget[..., 0] + before, write).detach()
            # nothing was ever written: any finite scale will do
            shift_BH = m_BH.masked_fill(m_BH == -torch.inf, 0.0)
            forget = forget + before[..., None]
        f_BHK = torch.exp(forget - shift_BH[..., None])
        written_BHK = torch.exp(write - shift_BH)[..., None] * k_BHTK[:, :, t]
        S_BHKV = f_BHK[..., None] * S_BHKV + written_BHK[..., None] * values[:, :, t, None]
        y_BHV = torch.einsum("bhk,bhkv->bhv", q_BHTK[:, :, t], S_BHKV)
        if n_BHK is not None:
            n_BHK = f_BHK * n_BHK + written_BHK
            total_BH = (q_BHTK[:, :, t] * n_BHK).sum(-1)
            if m_BH is not None:
                total_BH = torch.maximum(total_BH.abs(), torch.exp(-shift_BH))
            y_BHV = y_BHV / total_BH[..., None]
        answers.append(y_BHV)
    y_BHTV = torch.stack(answers, 2) if answers else torch.empty_like(values)
    return y_BHTV.to(v_BHTV.dtype), (S_BHKV, n_BHK, m_BH)


def empty_state(batch: int, heads: int, keys: int, values: int, normaliser: Normaliser, *, like: torch.Tensor) -> State:
    """The state before anything was written, on the device of `like` and in the type that carries state."""
    dtype = accumulator(like.dtype)
    n_BHK = None if normaliser == "none" else like.new_zeros(batch, heads, keys, dtype=dtype)
    m_BH = like.new_full((batch, heads), -torch.inf, dtype=dtype) if normaliser == "mlstm" else None
    return like.new_zeros(batch, heads, keys, values, dtype=dtype), n_BHK, m_BH


def check(
    q_BHTK: torch.Tensor,
    k_BHTK: torch.Tensor,
    v_BHTV: torch.Tensor,
    log_forget: torch.Tensor,
    log_input_BHT: torch.Tensor | None = None,
    state: State | None = None,
    normaliser: Normaliser = "none",
) -> None:
    """UsageError in one line when the arguments do not fit each other."""
    op = "gated_linear"
    if normaliser not in ("none", "sum", "mlstm"):
        raise UsageError(f"{op}: no normaliser named {normaliser!r}; choose none, sum or mlstm.")
    vector = log_forget.ndim == 4
    gate = {"log_forget_BHTK" if vector else "log_forget_BHT": log_forget}
    agree(op, q_BHTK=q_BHTK, k_BHTK=k_BHTK, v_BHTV=v_BHTV, **gate, log_input_BHT=log_input_BHT)
    dtype = one_dtype(op, q=q_BHTK, k=k_BHTK, v=v_BHTV, log_forget=log_forget, log_input=log_input_BHT)
    if vector and normaliser == "mlstm":
        raise UsageError(f"{op}: normaliser mlstm takes one gate a head; log_forget is {tuple(log_forget.shape)}.")
    if state is None:
        return
    if len(state) != 3:
        raise UsageError(f"{op}: state has {len(state)} parts; it must have three (S, n, m).")
    S_BHKV, n_BHK, m_BH = state
    if (n_BHK is None) != (normaliser == "none") or (m_BH is None) != (normaliser != "mlstm"):
        given = ", ".join(name for name, part in zip("Snm", state, strict=True) if part is not None)
        wanted = {"none": "S alone", "sum": "S and n", "mlstm": "S, n and m"}[normaliser]
        raise UsageError(f"{op}: state holds {given}; normaliser {normaliser} needs {wanted}.")
    agree(op, k_BHTK=k_BHTK, v_BHTV=v_BHTV, S_BHKV=S_BHKV, n_BHK=n_BHK, m_BH=m_BH)
    state_dtype(op, dtype, S=S_BHKV, n=n_BHK, m=m_BH)


def inputs(size: Mapping[str, int], seed: int, case: str = "plain") -> dict[str, Any]:
    """Float64 arguments: forget gates around 0.9, unit-normal keys scaled by K^-1/2; the cases of CONTRACT."""
    B, H, T, K, V = ({**CONTRACT.toy, **size}[letter] for letter in "BHTKV")
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    q, k, v = normal(B, H, T, K), normal(B, H, T, K) / K**0.5, normal(B, H, T, V)
    forget = normal(B, H, T, K) + 2.0 if case == "vector gate" else normal(B, H, T) + 2.0
    write = normal(B, H, T)
    normaliser: Normaliser = "mlstm" if "mlstm" in case else "sum" if case == "sum" else "none"
    if case == "forget one":
        forget = torch.full_like(forget, 60.0)
    if case == "forget zero":
        forget = torch.full_like(forget, -60.0)
    if case == "mlstm +-60":
        forget, write = 60.0 * torch.sign(forget - 2.0), 60.0 * torch.sign(write)
    if case == "sum":
        q, k = q.abs(), k.abs()
    S, n, m = normal(B, H, K, V), normal(B, H, K), normal(B, H)
    n = n.abs() if case == "sum" else n
    state = (S, None if normaliser == "none" else n, m if normaliser == "mlstm" else None)
    return {
        "q_BHTK": q,
        "k_BHTK": k,
        "v_BHTV": v,
        "log_forget": logsigmoid(forget),
        "log_input_BHT": None if case == "vector gate" else write,
        "state": None if case == "no state" else state,
        "normaliser": normaliser,
    }
