"""Head-wise recurrent networks against torch's layers, and against a Python loop under autograd."""

from __future__ import annotations

from functools import partial

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
    """B16 T1024 D64, forward and backward; the loop is the reference in float32."""
    made = arguments(cell, 16, 1024, heads, 64, device)
    leaves = [value for value in made.values() if isinstance(value, torch.Tensor)]

    def run(path: str | None) -> object:
        return torch.autograd.grad(fused_rnn(**made, path=path)[0].sum(), leaves)

    return lambda: run(None), lambda: run("reference")


def against_cudnn(heads: int, width: int, backward: bool) -> tuple[Work, Work]:
    """B16 T1024 in bfloat16: heads of `width` against cuDNN's one head as wide as all of them, inputs projected."""
    whole = heads * width
    layer = torch.nn.LSTM(whole, whole, batch_first=True, device="cuda", dtype=torch.bfloat16)
    made = arguments("lstm", 16, 1, heads, width, "cuda", torch.bfloat16)
    recurrent, bias = made["recurrent_KHDE"], made["bias_JHD"]
    project = layer.weight_ih_l0.detach().unflatten(0, (4, heads, width)).requires_grad_()
    x_BTI = torch.randn(16, 1024, whole, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    return both(
        lambda: fused_rnn(x_BTI, recurrent, bias, None, project, cell="lstm")[0], (x_BTI, recurrent, bias, project),
        lambda: layer(x_BTI)[0], (x_BTI, *layer.parameters()), backward,
    )  # fmt: skip


def against_flashrnn(cell: str, heads: int, width: int, backward: bool) -> tuple[Work, Work]:
    """B16 T1024 in bfloat16 on projected inputs, against its Triton kernels, which take our layouts."""
    from flashrnn import flashrnn

    made = arguments(cell, 16, 1024, heads, width, "cuda", torch.bfloat16)
    weights = [made[name] for name in ("x", "recurrent_KHDE", "bias_JHD")]
    return both(
        lambda: fused_rnn(*weights, cell=cell)[0], weights,
        lambda: flashrnn(*weights, function=cell, backend="triton_fused", dtype="bfloat16")[0][0], weights, backward,
    )  # fmt: skip


def both(ours: Work, our_inputs: object, theirs: Work, their_inputs: object, backward: bool) -> tuple[Work, Work]:
    """The two sides, with the gradients of all their inputs or with none."""
    if not backward:
        return torch.no_grad()(ours), torch.no_grad()(theirs)
    return (
        lambda: torch.autograd.grad(ours().sum(), our_inputs),  # type: ignore[attr-defined,arg-type]
        lambda: torch.autograd.grad(theirs().sum(), their_inputs),  # type: ignore[attr-defined,arg-type]
    )


def arguments(
    cell: str,
    batch: int,
    length: int,
    heads: int,
    width: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict[str, object]:
    made = inputs({"B": batch, "T": length, "H": heads, "D": width}, seed=0, case=cell)
    return {
        name: value.to(device, dtype).requires_grad_() if isinstance(value, torch.Tensor) else value
        for name, value in made.items()
    }


PASSES = (("fwd", False), ("fwd+bwd", True))
# the head-wise shapes of Poeppel et al. 2024, arXiv:2412.07752: 768 channels in all
SHAPES = ((16, 48), (32, 24), (64, 12))
ROWS = (
    Row("lstm B16 T1024 D64 vs torch.nn.LSTM", lambda: against_torch("lstm", 16, 1024, 64), at_least=1 / 1.1, rounds=9),
    Row("gru B16 T1024 D64 vs torch.nn.GRU", lambda: against_torch("gru", 16, 1024, 64), at_least=1 / 1.1, rounds=9),
    Row("lstm B4 T256 D256 vs torch.nn.LSTM", lambda: against_torch("lstm", 4, 256, 256), at_least=1 / 1.1, rounds=9),
    Row("gru B4 T256 D256 vs torch.nn.GRU", lambda: against_torch("gru", 4, 256, 256), at_least=1 / 1.1, rounds=9),
    Row("slstm B16 T1024 H1 D64 vs a loop", lambda: against_loop("slstm", 1), at_least=4.0, rounds=5),
    Row("lstm B16 T1024 H1 D64 vs a loop", lambda: against_loop("lstm", 1), at_least=4.0, rounds=5),
    Row("lstm B16 T1024 H4 D64 vs a loop", lambda: against_loop("lstm", 4), at_least=4.0, rounds=5),
    Row("slstm B16 T1024 H4 D64 vs a loop", lambda: against_loop("slstm", 4), at_least=4.0, rounds=5),
    Row("H100 lstm T1024 H12 D64 vs a loop", lambda: against_loop("lstm", 12, "cuda"), at_least=20.0, device="cuda"),
    Row("H100 slstm T1024 H12 D64 vs a loop", lambda: against_loop("slstm", 12, "cuda"), at_least=20.0, device="cuda"),
    *(
        Row(
            f"H100 bf16 lstm {name} B16 T1024 D{width} H{heads} vs cuDNN D768",
            partial(against_cudnn, heads, width, backward),
            at_least=1.0,
            device="cuda",
        )
        for width, heads in SHAPES
        for name, backward in PASSES
    ),
    *(
        Row(
            f"H100 bf16 {cell} {name} B16 T1024 D{width} H{heads} vs flashrnn's Triton",
            partial(against_flashrnn, cell, heads, width, backward),
            at_least=1.0,
            device="cuda",
            needs="flashrnn",
        )
        for cell in ("lstm", "slstm")
        for width, heads in SHAPES
        for name, backward in PASSES
    ),
)
