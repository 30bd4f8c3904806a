"""Head-wise recurrent networks against torch's layers, and against a Python loop under autograd."""

from __future__ import annotations

import torch

from harness.kernels._dispatch import operation
from harness.kernels.fused_rnn.reference import inputs
from kernel_rows._row import Row, Work

fused_rnn = operation("fused_rnn")


def against_torch(cell: str, batch: int, length: int, width: int) -> tuple[Work, Work]:
    """The layer on its own input, forward and backward."""
    layer = (torch.nn.LSTM if cell == "lstm" else torch.nn.GRU)(width, width, batch_first=True)
    x_BTI = torch.randn(batch, length, width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    made = {name: made for name, made in arguments(cell, batch, 1, 1, width).items() if name != "x"}
    gates = layer.weight_ih_l0.shape[0] // width
    project = layer.weight_ih_l0.detach().unflatten(0, (gates, 1, width)).requires_grad_()
    weights = [x_BTI, made["recurrent_KHDE"], made["bias_JHD"], project]
    made |= {"start_SBHD": None, "project_GHDI": project}

    def ours() -> object:
        return torch.autograd.grad(fused_rnn(x_BTI, **made)[0].sum(), weights)

    return ours, lambda: torch.autograd.grad(layer(x_BTI)[0].sum(), [x_BTI, *layer.parameters()])


def against_loop(cell: str, heads: int, device: str = "cpu") -> tuple[Work, Work]:
    """B16 T1024 D64 (D32 on a GPU, in float32), forward and backward; the loop is the reference in float32."""
    made = arguments(cell, 16, 1024, heads, 64 if device == "cpu" else 32, device)
    leaves = [value for value in made.values() if isinstance(value, torch.Tensor)]

    def run(path: str | None) -> object:
        return torch.autograd.grad(fused_rnn(**made, path=path)[0].sum(), leaves)

    return lambda: run(None), lambda: run("reference")


def arguments(cell: str, batch: int, length: int, heads: int, width: int, device: str = "cpu") -> dict[str, object]:
    made = inputs({"B": batch, "T": length, "H": heads, "D": width}, seed=0, case=cell)
    return {
        name: value.float().to(device).requires_grad_() if isinstance(value, torch.Tensor) else value
        for name, value in made.items()
    }


ROWS = (
    Row("lstm B16 T1024 D64 vs torch.nn.LSTM", lambda: against_torch("lstm", 16, 1024, 64), at_least=1 / 1.1, rounds=9),
    Row("gru B16 T1024 D64 vs torch.nn.GRU", lambda: against_torch("gru", 16, 1024, 64), at_least=1 / 1.1, rounds=9),
    Row("lstm B4 T256 D256 vs torch.nn.LSTM", lambda: against_torch("lstm", 4, 256, 256), at_least=1 / 1.1, rounds=9),
    Row("gru B4 T256 D256 vs torch.nn.GRU", lambda: against_torch("gru", 4, 256, 256), at_least=1 / 1.1, rounds=9),
    Row("slstm B16 T1024 H1 D64 vs a loop", lambda: against_loop("slstm", 1), at_least=4.0, rounds=5),
    Row("lstm B16 T1024 H1 D64 vs a loop", lambda: against_loop("lstm", 1), at_least=4.0, rounds=5),
    Row("lstm B16 T1024 H4 D64 vs a loop", lambda: against_loop("lstm", 4), at_least=4.0, rounds=5),
    Row("slstm B16 T1024 H4 D64 vs a loop", lambda: against_loop("slstm", 4), at_least=4.0, rounds=5),
    Row("H100 lstm T1024 H12 D32 vs a loop", lambda: against_loop("lstm", 12, "cuda"), at_least=20.0, device="cuda"),
    Row("H100 slstm T1024 H12 D32 vs a loop", lambda: against_loop("slstm", 12, "cuda"), at_least=20.0, device="cuda"),
)
