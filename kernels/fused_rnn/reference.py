"""What is a head-wise recurrent network? Elman, LSTM, GRU and sLSTM, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn import functional

from harness.api.errors import UsageError
from harness.api.registry import kernel
from harness.kernels._checks import agree, one_dtype, state_dtype
from harness.kernels._contract import Contract
from harness.kernels._dispatch import accumulator

# B batch, T time, H heads, D width of a head, E width in (E = D), S states
# G input gates, K recurrent gates, J biases, I width of an unprojected input
Cell = Literal["elman", "lstm", "gru", "slstm"]

CONTRACT = Contract(
    toy={"B": 2, "T": 16, "H": 2, "D": 5, "I": 3},
    gate="bias_JHD",
    time={"x": 1, "return": 1},
    state="start_SBHD",
    cases=("lstm", "elman", "gru", "slstm", "lstm no start", "slstm no start", "lstm projected", "gru projected"),
    extremes=("lstm extreme", "gru extreme", "slstm extreme", "elman extreme"),
)


@dataclass(frozen=True, slots=True)
class Gates:
    """The names, in order, of a cell's input gates, recurrent gates, biases and states."""

    inputs: tuple[str, ...]
    recurrent: tuple[str, ...]
    biases: tuple[str, ...]
    states: tuple[str, ...]


CELLS: Mapping[str, Gates] = {
    "elman": Gates(("h",), ("h",), ("h",), ("h",)),
    "lstm": Gates(("i", "f", "z", "o"), ("i", "f", "z", "o"), ("i", "f", "z", "o"), ("h", "c")),
    "gru": Gates(("r", "z", "n"), ("g", "r", "z"), ("g", "r", "z", "n"), ("h",)),
    "slstm": Gates(("i", "f", "z", "o"), ("i", "f", "z", "o"), ("i", "f", "z", "o"), ("h", "c", "n", "m")),
}


@kernel(
    serves="FlashRNN, sLSTM and every model with an LSTM, GRU or Elman layer",
    paper="Poeppel et al. 2024, FlashRNN, arXiv:2412.07752; Beck et al. 2024, xLSTM, arXiv:2405.04517",
)
def fused_rnn(
    x: torch.Tensor,
    recurrent_KHDE: torch.Tensor,
    bias_JHD: torch.Tensor,
    start_SBHD: torch.Tensor | None = None,
    project_GHDI: torch.Tensor | None = None,
    *,
    cell: Cell = "lstm",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run H independent recurrent heads over time, on projected inputs or with the projection.

    Write x for a step's input, u = R h for its recurrent part and s for the logistic function; in gate order,
    elman (h):          h' = tanh(x + u + b)
    lstm (i, f, z, o):  c' = s(f) c + s(i) tanh(z);  h' = s(o) tanh(c')
    gru (x: r, z, n; R: g, r, z; b: g, r, z, n):  h' = s(z) h + (1 - s(z)) tanh(x_n + b_n + s(r) (u_g + b_g))
    slstm (i, f, z, o): m' = max(i, log s(f) + m);  i' = exp(i - m');  f' = exp(log s(f) + m - m')
                        c' = f' c + i' tanh(z);  n' = max(f' n + i', 1);  h' = s(o) c' / n'

    x is the projected input [B, T, G, H, D], or with `project` [G, H, D, I] the input itself [B, T, I]; recurrent is
    [K, H, D out, D in], bias [J, H, D]; states are (h), (h, c) or (h, c, n, m) [S, B, H, D], zero when absent, with
    m = -inf. Returns h [B, T, H, D] in the input's type and the last states in the type that carries state (float32
    beside half types). Raises UsageError when shapes or types differ.

    Paper: Poeppel et al. 2024, arXiv:2412.07752. Differs from the paper: its code chooses sLSTM's first step by a test
    over the whole batch (all n = 0); here m starts at -inf, which gives the same first step and keeps rows independent.
    """
    carried = accumulator(x.dtype)
    inputs, r, b = (tensor.to(carried) for tensor in (x, recurrent_KHDE, bias_JHD))
    if project_GHDI is not None:
        inputs = torch.einsum("bti,ghdi->btghd", inputs, project_GHDI.to(carried))
    states = tuple((initial(x, b, cell) if start_SBHD is None else start_SBHD.to(carried)).unbind(0))
    outputs = []
    for x_BGHD in inputs.unbind(1):
        u_BKHD = torch.einsum("khde,bhe->bkhd", r, states[0])
        states = _step(cell, x_BGHD.unbind(1), u_BKHD.unbind(1), b.unbind(0), states)
        outputs.append(states[0])
    output = torch.stack(outputs, 1) if outputs else inputs[:, :, 0]
    return output.to(x.dtype), torch.stack(states)


def initial(x: torch.Tensor, bias_JHD: torch.Tensor, cell: Cell) -> torch.Tensor:
    """The states [S, B, H, D] before the first step: zero, and m = -inf."""
    names = CELLS[cell].states
    shape = (len(names), x.shape[0], *bias_JHD.shape[1:])
    start = torch.zeros(shape, dtype=accumulator(x.dtype), device=x.device)
    if "m" in names:
        start[names.index("m")] = -torch.inf
    return start


def _step(
    cell: Cell,
    x: tuple[torch.Tensor, ...],
    u: tuple[torch.Tensor, ...],
    b: tuple[torch.Tensor, ...],
    states: tuple[torch.Tensor, ...],
) -> tuple[torch.Tensor, ...]:
    if cell == "elman":
        return (torch.tanh(x[0] + u[0] + b[0]),)
    if cell == "gru":
        reset, keep = torch.sigmoid(x[0] + u[1] + b[1]), torch.sigmoid(x[1] + u[2] + b[2])
        return (keep * states[0] + (1 - keep) * torch.tanh(x[2] + b[3] + reset * (u[0] + b[0])),)
    i, f, z, o = (x[gate] + u[gate] + b[gate] for gate in range(4))
    if cell == "lstm":
        c = torch.sigmoid(f) * states[1] + torch.sigmoid(i) * torch.tanh(z)
        return torch.sigmoid(o) * torch.tanh(c), c
    _, c, n, m = states
    kept = functional.logsigmoid(f) + m
    m = torch.maximum(i, kept)
    i, f = torch.exp(i - m), torch.exp(kept - m)
    c = f * c + i * torch.tanh(z)
    n = torch.clamp(f * n + i, min=1.0)
    return torch.sigmoid(o) * c / n, c, n, m


def check(
    x: torch.Tensor,
    recurrent_KHDE: torch.Tensor,
    bias_JHD: torch.Tensor,
    start_SBHD: torch.Tensor | None = None,
    project_GHDI: torch.Tensor | None = None,
    *,
    cell: Cell = "lstm",
) -> None:
    """UsageError in one line when the arguments do not fit each other or the cell."""
    if cell not in CELLS:
        raise UsageError(f"fused_rnn: no cell named {cell!r}; choose one of {', '.join(CELLS)}.")
    named = {"x_BTGHD" if project_GHDI is None else "x_BTI": x}
    sizes = agree(
        "fused_rnn",
        **named,
        recurrent_KHDE=recurrent_KHDE,
        bias_JHD=bias_JHD,
        start_SBHD=start_SBHD,
        project_GHDI=project_GHDI,
    )
    if sizes["D"] != sizes["E"]:
        raise UsageError(
            f"fused_rnn: recurrent is {tuple(recurrent_KHDE.shape)}; its last two axes must be equal (out, in)."
        )
    gates = CELLS[cell]
    for letter, argument, wanted in (
        ("G", "x" if project_GHDI is None else "project", gates.inputs),
        ("K", "recurrent", gates.recurrent),
        ("J", "bias", gates.biases),
        ("S", "start", gates.states),
    ):
        if letter in sizes and sizes[letter] != len(wanted):
            raise UsageError(
                f"fused_rnn: {argument} has {sizes[letter]} parts on its axis {letter}, but {cell} has "
                f"{len(wanted)} ({', '.join(wanted)})."
            )
    dtype = one_dtype("fused_rnn", x=x, recurrent=recurrent_KHDE, bias=bias_JHD, project=project_GHDI)
    state_dtype("fused_rnn", dtype, start=start_SBHD)


def inputs(size: Mapping[str, int], seed: int, case: str = "lstm") -> dict[str, Any]:
    """Float64 arguments: unit-normal inputs, recurrent weights of spectral size about 1/2; the cases of CONTRACT."""
    B, T, H, D, width = ({**CONTRACT.toy, **size}[letter] for letter in "BTHDI")
    rng = torch.Generator().manual_seed(seed)
    cell: Cell = case.split()[0]  # type: ignore[assignment]
    gates = CELLS[cell]
    if case.endswith("projected"):
        # a single head is what torch's own layer can run
        H = 1

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    arguments: dict[str, Any] = {
        "x": normal(B, T, len(gates.inputs), H, D),
        "recurrent_KHDE": normal(len(gates.recurrent), H, D, D) / (4 * D**0.5),
        "bias_JHD": normal(len(gates.biases), H, D) / 2,
        "start_SBHD": normal(len(gates.states), B, H, D),
        "project_GHDI": None,
        "cell": cell,
    }
    if cell == "slstm":
        arguments["start_SBHD"][2] = 1 + arguments["start_SBHD"][2].abs()
    if case.endswith("no start"):
        arguments["start_SBHD"] = None
    if case.endswith("extreme"):
        arguments["x"] = 60.0 * torch.sign(arguments["x"])
    if case.endswith("projected"):
        arguments["x"] = normal(B, T, width)
        arguments["project_GHDI"] = normal(len(gates.inputs), H, D, width) / width**0.5
    return arguments
