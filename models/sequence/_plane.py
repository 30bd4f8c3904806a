"""How does a matrix memory move over an image? Along edges to the right and down, one anti-diagonal at a time.

A node adds s k v^T to its outgoing edges and passes on what comes in: right' = s_r k v^T + T_rr right + T_rd down and
down' = s_d k v^T + T_dr right + T_dd down; it reads q (m_r right + m_d down) of its incoming edges.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

# B batch, H heads, R rows, C columns, K key width, V value width

Mode = Literal["P", "D"]
Pair = tuple[Tensor, Tensor]  # right, down
# source (right, down), transition (rr, rd, dr, dd) and mark (right, down), each [B, H, R, C]
Gates = tuple[Pair, tuple[Tensor, Tensor, Tensor, Tensor], Pair]


def propagated(source: Tensor, turn: Tensor, keep: Tensor, mark: Tensor) -> Gates:
    """P mode, of four numbers in 0..1 a node: what comes in is joined, and a share `turn` leaves to the right.

    The rest leaves down; all edges together keep the share `keep`, so that nothing is lost at 1.
    """
    right, down = keep * turn, keep * (1 - turn)
    return (source * turn, source * (1 - turn)), (right, right, down, down), (mark, mark)


def diffused(source: Pair, turn: Tensor, keep: Pair, mark: Pair) -> Gates:
    """D mode, of numbers in 0..1 a node, those of the edges to the right and down apart.

    An edge to the right goes on or turns down, an edge down only goes on, so that one path leads to each node and
    decays of 1 do not add up.
    """
    return source, (keep[0], torch.zeros_like(turn), turn, keep[1]), mark


def sweep(q: Tensor, k: Tensor, v: Tensor, gates: Gates) -> tuple[Tensor, Tensor, Tensor]:
    """Answers [B, H, R, C, V] of q, k [B, H, R, C, K] and v, and what leaves the image to the right and down.

    The leaving memories are [B, H, R, K, V] and [B, H, C, K, V].
    """
    batch, heads, rows, columns, _ = q.shape
    right = q.new_zeros(batch, heads, rows, k.shape[-1], v.shape[-1])
    down = torch.zeros_like(right)
    row = torch.arange(rows, device=q.device)[:, None]
    # what stands on each anti-diagonal, a row at a time; outside the image gates are shut
    column = torch.arange(rows + columns - 1, device=q.device) - row
    inside = ((column >= 0) & (column < columns)).to(q.dtype)
    place = column.clamp(0, columns - 1)

    def skewed(part: Tensor) -> Tensor:
        return part[:, :, row, place]

    queries, keys, values = (skewed(part)[..., None].unbind(3) for part in (q, k, v))
    opened = [[(skewed(gate) * inside)[..., None, None].unbind(3) for gate in group] for group in gates]
    answers, out_right, out_down = [], [], []
    for diagonal in range(rows + columns - 1):
        source, transition, mark = ([gate[diagonal] for gate in group] for group in opened)
        # the memory that left the row above goes down into this one
        down = functional.pad(down[:, :, :-1], (0, 0, 0, 0, 1, 0))
        answers.append((queries[diagonal].mT @ (mark[0] * right + mark[1] * down))[..., 0, :])
        written = keys[diagonal] @ values[diagonal].mT
        right, down = (
            source[0] * written + transition[0] * right + transition[1] * down,
            source[1] * written + transition[2] * right + transition[3] * down,
        )
        if diagonal >= columns - 1:
            out_right.append(right[:, :, diagonal - columns + 1])
        if diagonal >= rows - 1:
            out_down.append(down[:, :, rows - 1])
    # node (r, c) was answered on diagonal r + c
    y = torch.stack(answers, 2)[:, :, row + torch.arange(columns, device=q.device), row]
    return y, torch.stack(out_right, 2), torch.stack(out_down, 2)
