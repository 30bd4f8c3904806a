"""How does a head-wise recurrent network run fast on a CPU? Few calls a step, one product for many weight gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from harness.kernels._dispatch import accumulator
from harness.kernels.fused_rnn._loops import LOOPS, ORDER, SCALE
from harness.kernels.fused_rnn.reference import Cell, initial

# B batch, T time, H heads, D width of a head, E width in (E = D), S states, P gates of a recurrent product
# G input gates, K recurrent gates, J biases, I width of an unprojected input
LANES = 16  # rows; the batch is the last axis of every product, and BLAS is up to four times slower on a shorter one
BLOCK = 1 << 20  # elements of the factors that the backward pass holds at once (4 MiB in float32)


def fused_rnn(
    x: torch.Tensor,
    recurrent_KHDE: torch.Tensor,
    bias_JHD: torch.Tensor,
    start_SBHD: torch.Tensor | None = None,
    project_GHDI: torch.Tensor | None = None,
    *,
    cell: Cell = "lstm",
) -> tuple[torch.Tensor, torch.Tensor]:
    """As the reference; half types are computed in float32. A projected single-head LSTM is torch's layer."""
    carried = accumulator(x.dtype)
    start = initial(x, bias_JHD, cell) if start_SBHD is None else start_SBHD.to(carried)
    x_c, recurrent, bias = (tensor.to(carried) for tensor in (x, recurrent_KHDE, bias_JHD))
    if project_GHDI is not None:
        project = project_GHDI.to(carried)
        if cell == "lstm" and bias.shape[1] == 1 and carried == torch.float32 and x.numel():
            output_BTHD, last_SBHD = _own_layer(x_c, recurrent, bias, start, project)
            return output_BTHD.to(x.dtype), last_SBHD
        x_c = (x_c @ project.flatten(0, 2).T).unflatten(2, project.shape[:3])
    batch, missing = len(x), LANES - len(x) if 1 < len(x) < LANES else 0
    if missing:
        x_c = functional.pad(x_c, [0, 0] * 4 + [0, missing])
        start = functional.pad(start, [0, 0] * 2 + [0, missing])
    output_BTHD, last_SBHD = _Run.apply(cell, x_c, recurrent, bias, start)
    return output_BTHD[:batch].to(x.dtype), last_SBHD[:, :batch]


def _own_layer(
    x_BTI: torch.Tensor, recurrent: torch.Tensor, bias: torch.Tensor, start: torch.Tensor, project: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The LSTM layer of torch (oneDNN), whose gate order is ours; its second bias is left at zero."""
    weights = [project.flatten(0, 2), recurrent.flatten(0, 2), bias.flatten(), torch.zeros_like(bias).flatten()]
    states = start.transpose(1, 2).unbind()
    y_BTD, h, c = torch.lstm(x_BTI, [state.contiguous() for state in states], weights, True, 1, 0.0, True, False, True)
    return y_BTD.unsqueeze(2), torch.stack((h, c)).transpose(1, 2)


class _Run(torch.autograd.Function):
    """The loops of one cell between the caller's layout and theirs, where the batch is the last axis."""

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, x_BTGHD: torch.Tensor, recurrent: torch.Tensor, bias: torch.Tensor, start: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        gates, extra = _pack(cell, x_BTGHD, bias)
        weight = recurrent[list(ORDER[cell])].transpose(0, 1).flatten(1, 2).contiguous()
        states = [gates.new_empty(gates.shape[0] + 1, *first.shape) for first in start.permute(0, 2, 3, 1)]
        for state, first in zip(states, start.permute(0, 2, 3, 1), strict=True):
            state[0] = first
        scale = weight.new_tensor(SCALE[cell]).repeat_interleave(weight.shape[2])[:, None]
        more = LOOPS[cell][0](gates, extra, weight * scale, states)
        ctx.cell, ctx.count = cell, len(states)
        ctx.save_for_backward(weight, gates, extra, *states, *more)
        return states[0][1:].permute(3, 0, 1, 2).contiguous(), torch.stack([s[-1] for s in states]).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, output: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, gates, extra, *rest = ctx.saved_tensors
        states, more, cell = rest[: ctx.count], rest[ctx.count :], ctx.cell
        T, H, P, D, B = gates.shape
        dh, carry = torch.zeros_like(states[0]), [grad.contiguous() for grad in last.permute(0, 2, 3, 1)]
        dh[1:] = output.permute(1, 2, 3, 0)
        dh[-1] += carry[0]
        if cell == "slstm":
            carry[3] = carry[3] - states[1][-1] * carry[1] - states[2][-1] * carry[2]
        x = gates.new_empty(B, T, 3 if cell == "gru" else P, H, D)
        recurrent, columns, candidate = torch.zeros_like(weight), gates.new_zeros(H, P, D), gates.new_zeros(H, D)
        back = weight.transpose(1, 2).contiguous()
        size = max(1, BLOCK // max(1, H * P * D * B))
        for end in range(T, 0, -size):
            begin = max(0, end - size)
            around, within = slice(begin, end + 1), slice(begin, end)
            block, block_extra = LOOPS[cell][1](
                gates[within], extra[within], back,
                [state[around] for state in states], [item[within] for item in more], dh[around], carry,
            )  # fmt: skip
            by_head = block.permute(1, 2, 3, 0, 4).reshape(H, P * D, -1)
            recurrent.baddbmm_(by_head, states[0][within].permute(1, 0, 3, 2).reshape(H, -1, D))
            columns += by_head.sum(2).view(H, P, D)
            candidate += 0 if block_extra is None else block_extra.sum((0, 3))
            _unpack(cell, block, block_extra, x[:, within])
        if cell == "slstm":
            carry[3] += states[1][0] * carry[1] + states[2][0] * carry[2]
        order = torch.tensor(ORDER[cell]).argsort()
        bias = columns.transpose(0, 1)[order]
        return (
            None,
            x,
            recurrent.view(H, P, D, D).transpose(0, 1)[order],
            torch.cat((bias, candidate[None])) if cell == "gru" else bias,
            torch.stack([dh[0], *carry[1:]]).permute(0, 3, 1, 2),
        )


def _pack(cell: Cell, x_BTGHD: torch.Tensor, bias_JHD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Input plus bias as the loops want them: gates [T, H, P, D, B], and GRU's candidate input [T, H, D, B]."""
    B, T, _, H, D = x_BTGHD.shape
    gates = x_BTGHD.new_empty(T, H, len(ORDER[cell]), D, B)
    x, b = x_BTGHD.permute(2, 1, 3, 4, 0), bias_JHD.unsqueeze(3)
    extra = x[2] + b[3] if cell == "gru" else gates.new_empty(T, 0)
    for place, (gate, scale) in enumerate(zip(ORDER[cell], SCALE[cell], strict=True)):
        if cell == "gru":
            gates[:, :, place] = b[gate] + x[gate - 1] if gate else b[gate]
        else:
            torch.add(x[gate], b[gate], out=gates[:, :, place])
        if scale != 1.0:
            gates[:, :, place] *= scale
    return gates, extra.contiguous()


def _unpack(cell: Cell, gates: torch.Tensor, extra: torch.Tensor | None, x_BTGHD: torch.Tensor) -> None:
    """Write the gradients of a block of steps into the input's layout."""
    x = x_BTGHD.permute(2, 1, 3, 4, 0)
    if extra is not None:
        x[0], x[1], x[2] = gates[:, :, 1], gates[:, :, 2], extra
        return
    for place, gate in enumerate(ORDER[cell]):
        x[gate] = gates[:, :, place]
