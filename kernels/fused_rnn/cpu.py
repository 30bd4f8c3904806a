"""How does a head-wise recurrent network run fast on a CPU? Few calls a step, one product for many weight gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from harness.kernels._dispatch import accumulator
from harness.kernels._workspace import workspace
from harness.kernels.fused_rnn._loops import KEPT, LOOPS, ORDER, SCALE, Block
from harness.kernels.fused_rnn.reference import Cell, initial

# B batch, T time, H heads, D width of a head, E width in (E = D), S states, P gates of a recurrent product
# G input gates, K recurrent gates, J biases, I width of an unprojected input
LANES = 16  # rows; the batch is the last axis of every product, and BLAS is up to four times slower on a shorter one
WIDE = 256  # width from which torch's GRU is faster than the loops here; at 128 they are equal
GATHERED = 4  # widths a row; at D <= 4 B a product a step is faster than the copy that makes all steps one product
BLOCK = 1 << 18  # elements of the gates that are worked on at once: 1 MiB in float32, which stays in the cache


def fused_rnn(
    x: torch.Tensor,
    recurrent_KHDE: torch.Tensor,
    bias_JHD: torch.Tensor,
    start_SBHD: torch.Tensor | None = None,
    project_GHDI: torch.Tensor | None = None,
    *,
    cell: Cell = "lstm",
) -> tuple[torch.Tensor, torch.Tensor]:
    """As the reference, half types in float32; where projected to one head, an LSTM or wide GRU is torch's layer."""
    carried = accumulator(x.dtype)
    start = initial(x, bias_JHD, cell) if start_SBHD is None else start_SBHD.to(carried)
    x_c, recurrent, bias = (tensor.to(carried) for tensor in (x, recurrent_KHDE, bias_JHD))
    if project_GHDI is not None:
        project = project_GHDI.to(carried)
        layer = cell == "lstm" or (cell == "gru" and bias.shape[2] >= WIDE)
        if layer and bias.shape[1] == 1 and carried == torch.float32 and x.numel():
            output_BTHD, last_SBHD = _own_layer(cell, x_c, recurrent, bias, start, project)
            return output_BTHD.to(x.dtype), last_SBHD
        x_c = (x_c @ project.flatten(0, 2).T).unflatten(2, project.shape[:3])
    batch, missing = len(x), LANES - len(x) if 1 < len(x) < LANES else 0
    if missing:
        # not `pad`, which older torch refuses where T is 0
        x_c = torch.cat([x_c, x_c.new_zeros(missing, *x_c.shape[1:])])
        start = torch.cat([start, start.new_zeros(len(start), missing, *start.shape[2:])], dim=1)
    output_BTHD, last_SBHD = _Run.apply(cell, x_c, recurrent, bias, start)
    return output_BTHD[:batch].to(x.dtype), last_SBHD[:, :batch]


def _own_layer(
    cell: Cell,
    x_BTI: torch.Tensor,
    recurrent: torch.Tensor,
    bias: torch.Tensor,
    start: torch.Tensor,
    project: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Torch's layer: its LSTM (oneDNN) has our gate order and one bias too many, its GRU's product is (r, z, g)."""
    states = [state.contiguous() for state in start.transpose(1, 2).unbind()]
    if cell == "gru":
        none = torch.zeros_like(bias[0])
        inner = torch.cat((none, none, bias[0]), 1).flatten()
        weights = [project.flatten(0, 2), recurrent[[1, 2, 0]].flatten(0, 2), bias[1:].flatten(), inner]
        y_BTD, h = torch.gru(x_BTI, states[0], weights, True, 1, 0.0, True, False, True)
        return y_BTD.unsqueeze(2), h[None].transpose(1, 2)
    weights = [project.flatten(0, 2), recurrent.flatten(0, 2), bias.flatten(), torch.zeros_like(bias).flatten()]
    y_BTD, h, c = torch.lstm(x_BTI, states, weights, True, 1, 0.0, True, False, True)
    return y_BTD.unsqueeze(2), torch.stack((h, c)).transpose(1, 2)


class _Run(torch.autograd.Function):
    """The loops of one cell between the caller's layout and theirs, where the batch is the last axis."""

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, x_BTGHD: torch.Tensor, recurrent: torch.Tensor, bias: torch.Tensor, start: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        B, T, _, H, D = x_BTGHD.shape
        P, dtype = len(ORDER[cell]), x_BTGHD.dtype
        gates = workspace((T, H, P, D, B), dtype)
        extra = workspace((T, H, D, B) if cell == "gru" else (T, 0), dtype)
        more = [workspace((T, H, D, B), dtype) for _ in range(KEPT[cell])]
        states = [workspace((T + 1, H, D, B), dtype) for _ in start]
        for state, first in zip(states, start.permute(0, 2, 3, 1), strict=True):
            state[0] = first
        scale = bias.new_tensor(SCALE[cell])[:, None]
        shift = bias[list(ORDER[cell])].transpose(0, 1) * scale
        weight = recurrent[list(ORDER[cell])].transpose(0, 1).contiguous()
        scaled, weight = (weight * scale[..., None]).flatten(1, 2), weight.flatten(1, 2)
        for within in _parts(T, H * P * D * B):
            around = slice(within.start, within.stop + 1)
            _pack(cell, x_BTGHD[:, within], scale, shift, gates[within])
            if cell == "gru":
                _batch_to_last((x_BTGHD[:, within, 2] + bias[3]).transpose(0, 1), extra[within])
            parts = [state[around] for state in states], [item[within] for item in more]
            LOOPS[cell][0](Block(gates[within], extra[within], scaled, *parts))
        ctx.cell, ctx.count = cell, len(states)
        ctx.save_for_backward(weight, gates, extra, *states, *more)
        output = workspace((B, T, H, D), dtype)
        for part in _parts(T, H * D * B):
            output[:, part] = _batch_second(states[0][1:][part]).transpose(0, 1)
        return output, torch.stack([s[-1] for s in states]).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, output: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, gates, extra, *rest = ctx.saved_tensors
        states, more, cell = rest[: ctx.count], rest[ctx.count :], ctx.cell
        T, H, P, D, B = gates.shape
        dh, carry = workspace(states[0].shape, gates.dtype), [grad.contiguous() for grad in last.permute(0, 2, 3, 1)]
        dh[0] = 0.0
        for part in _parts(T, H * D * B):
            _batch_to_last(output[:, part].transpose(0, 1), dh[1:][part])
        dh[-1] += carry[0]
        if cell == "slstm":
            carry[3] = carry[3] - states[1][-1] * carry[1] - states[2][-1] * carry[2]
        x = workspace((B, T, 3 if cell == "gru" else P, H, D), gates.dtype)
        recurrent, columns, candidate = torch.zeros_like(weight), gates.new_zeros(H, P, D), gates.new_zeros(H, D)
        back = weight.transpose(1, 2).contiguous()
        for within in reversed(_parts(T, H * P * D * B)):
            around = slice(within.start, within.stop + 1)
            parts = [state[around] for state in states], [item[within] for item in more]
            block, block_extra = LOOPS[cell][1](Block(gates[within], extra[within], back, *parts), dh[around], carry)
            _add_products(recurrent, block.flatten(2, 3), states[0][within])
            # over time first, along whole runs of memory, which is faster than both axes at once
            columns += block.sum(0).sum(-1)
            candidate += 0 if block_extra is None else block_extra.sum(0).sum(-1)
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


def _parts(length: int, each: int) -> list[slice]:
    """Slices of time, in order, that hold BLOCK elements where a step holds `each`."""
    steps = max(1, BLOCK // max(1, each))
    return [slice(begin, min(begin + steps, length)) for begin in range(0, length, steps)]


def _add_products(sum_HRD: torch.Tensor, left_THRB: torch.Tensor, right_THDB: torch.Tensor) -> None:
    """Add the products of all steps and rows; gathered first where one step has few rows for so wide a sum."""
    if sum_HRD.shape[2] <= GATHERED * left_THRB.shape[3]:
        for left, right in zip(left_THRB.unbind(), right_THDB.mT.unbind(), strict=True):
            sum_HRD.baddbmm_(left, right)
    else:
        left, right = left_THRB.permute(1, 2, 0, 3).flatten(2), right_THDB.permute(1, 0, 3, 2).flatten(1, 2)
        sum_HRD.baddbmm_(left, right)


def _pack(
    cell: Cell, x_BTGHD: torch.Tensor, scale_P1: torch.Tensor, shift_HPD: torch.Tensor, gates_THPDB: torch.Tensor
) -> None:
    """Write input times scale plus bias as the loops want it."""
    T, H, P, D, B = gates_THPDB.shape
    x = x_BTGHD.permute(2, 1, 0, 3, 4)
    # GRU's first gate has no input
    rows_TBHPD = x.new_zeros(T, B, H, P, D) if cell == "gru" else x.new_empty(T, B, H, P, D)
    for place, gate in enumerate(ORDER[cell]):
        if cell != "gru" or gate:
            rows_TBHPD[:, :, :, place] = x[gate - (cell == "gru")]
    _batch_to_last(rows_TBHPD.mul_(scale_P1.expand(P, D)).add_(shift_HPD), gates_THPDB)


def _unpack(cell: Cell, gates: torch.Tensor, extra: torch.Tensor | None, x_BTGHD: torch.Tensor) -> None:
    """Write the gradients of a block of steps into the input's layout."""
    x, rows_TBHPD = x_BTGHD.permute(2, 1, 0, 3, 4), _batch_second(gates)
    if extra is not None:
        x[0], x[1], x[2] = rows_TBHPD[:, :, :, 1], rows_TBHPD[:, :, :, 2], _batch_second(extra)
        return
    for place, gate in enumerate(ORDER[cell]):
        x[gate] = rows_TBHPD[:, :, :, place]


def _batch_to_last(source_TB: torch.Tensor, target_TB: torch.Tensor) -> None:
    """Copy [T, B, ...] into [T, ..., B], through rows close together: across far strides it is three times slower."""
    target_TB.flatten(1, -2).copy_(source_TB.contiguous().flatten(2).mT)


def _batch_second(array_TB: torch.Tensor) -> torch.Tensor:
    """Copy [T, ..., B] to [T, B, ...]."""
    return array_TB.flatten(1, -2).mT.contiguous().unflatten(2, array_TB.shape[1:-1])
