"""What does one cell do at each step on a CPU, forward and backward? As few calls as possible, on shared memory.

At these sizes a step costs its calls, not its arithmetic. So the batch is the last axis, which makes every gate one run
of memory; the matrix products are torch's and the elementwise work numpy's, on the same memory, because numpy's calls
cost a quarter; and every factor of the backward pass that needs no later gradient is computed for a block of steps at
once. A logistic gate is stored as half its pre-activation, since s(2x) = (1 + tanh x) / 2 shares z's call of tanh.

Each cell is a pair over contiguous float32 or float64 arrays:

    forward(Block(gates, extra, weight [H, P*D, D], states [S][T + 1, H, D, B], more)) -> None
    backward(Block(gates, extra, weight [H, D, P*D], states, more), dh, carry) -> gradient of the gates, of extra

`gates` [T, H, P, D, B] hold input plus bias in the order ORDER, times SCALE, and become the gates' values; `extra`
[T, H, D, B] is GRU's candidate input; `more` [KEPT][T, H, D, B] is what the backward pass needs besides. T is a block
of steps. In the backward pass `dh` [T + 1, H, D, B] and the other
states' gradients `carry` [S][H, D, B] are updated in place on the way from the block's last state to its first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

# T time, H heads, B batch, D width of a head, P gates of a recurrent product, S states
Array = NDArray[Any]
Tensors = Sequence[torch.Tensor]


class Block(NamedTuple):
    """What both directions of a cell work on: a block of steps, as the docstring above lays it out."""

    gates: torch.Tensor
    extra: torch.Tensor
    weight: torch.Tensor
    states: Tensors
    more: Tensors


Forward = Callable[[Block], None]
Backward = Callable[[Block, torch.Tensor, Tensors], tuple[torch.Tensor, torch.Tensor | None]]

# place among the gates here -> gate of the reference's recurrent product
ORDER: Mapping[str, tuple[int, ...]] = {"elman": (0,), "lstm": (2, 0, 1, 3), "gru": (0, 1, 2), "slstm": (0, 1, 2, 3)}
KEPT: Mapping[str, int] = {"elman": 0, "lstm": 1, "gru": 0, "slstm": 2}
SCALE: Mapping[str, tuple[float, ...]] = {
    "elman": (1.0,),
    "lstm": (1.0, 0.5, 0.5, 0.5),
    "gru": (1.0, 0.5, 0.5),
    "slstm": (1.0, 1.0, 1.0, 0.5),
}


def elman_forward(block: Block) -> None:
    """Elman: h' = tanh(x + R h)."""
    gates, _, weight, states, _ = block
    before, flat, rows, hs = states[0].unbind(), _flat(gates), _steps(gates), _steps(states[0].unsqueeze(2))
    for t, pre in enumerate(flat):
        pre.baddbmm_(weight, before[t])
        np.tanh(rows[t], out=hs[t + 1])


def elman_backward(block: Block, dh: torch.Tensor, carry: Tensors) -> tuple[torch.Tensor, None]:
    """The gradient passes through one factor, 1 - h'^2."""
    _, _, weight, states, _ = block
    factor = (1 - states[0][1:].square()).unsqueeze(2)
    before, flat, rows, wide = dh.unbind(), _flat(factor), _steps(factor), _steps(dh.unsqueeze(2))
    for t in range(len(flat) - 1, -1, -1):
        rows[t] *= wide[t + 1]
        before[t].baddbmm_(weight, flat[t])
    return factor, None


def lstm_forward(block: Block) -> None:
    """LSTM: c' = f c + i z; h' = o tanh c'; gates in the order z, i, f, o."""
    gates, _, weight, states, more = block
    before, flat, rows, tanhs = states[0].unbind(), _flat(gates), _steps(gates), _steps(more[0])
    hs, cs = map(_steps, states)
    scratch = np.empty_like(cs[0])
    for t, pre in enumerate(flat):
        pre.baddbmm_(weight, before[t])
        row, c = rows[t], cs[t + 1]
        _logistic(np.tanh(row, out=row)[:, 1:])
        np.multiply(row[:, 2], cs[t], out=c)
        c += np.multiply(row[:, 1], row[:, 0], out=scratch)
        np.multiply(row[:, 3], np.tanh(c, out=tanhs[t]), out=hs[t + 1])


def lstm_backward(block: Block, dh: torch.Tensor, carry: Tensors) -> tuple[torch.Tensor, None]:
    """The gradient of c drives z, i and f; that of h drives o."""
    gates, _, weight, states, more = block
    z, i, f, o = gates.unbind(2)
    (squashed,) = more
    factor = torch.empty_like(gates)
    by_z, by_i, by_f, by_o = factor.unbind(2)
    # p (1 - q) as p - p q, written in place: half the passes over a block
    written = z * i
    torch.addcmul(i, written, z, value=-1, out=by_z)
    torch.addcmul(written, written, i, value=-1, out=by_i)
    kept = states[1][:-1] * f
    torch.addcmul(kept, kept, f, value=-1, out=by_f)
    shown = squashed * o
    torch.addcmul(shown, shown, o, value=-1, out=by_o)
    before, flat, rows, dhs, keeps = dh.unbind(), _flat(factor), _steps(factor), _steps(dh), _steps(f)
    through = _steps(torch.addcmul(o, shown, squashed, value=-1))
    dc = carry[1].flatten(1).numpy()
    scratch, wide = np.empty_like(dc), dc[:, None]
    for t in range(len(flat) - 1, -1, -1):
        row, dh_row = rows[t], dhs[t + 1]
        dc += np.multiply(dh_row, through[t], out=scratch)
        row[:, :3] *= wide
        row[:, 3] *= dh_row
        dc *= keeps[t]
        before[t].baddbmm_(weight, flat[t])
    return factor, None


def gru_forward(block: Block) -> None:
    """GRU: n = tanh(x_n + r g); h' = n + z (h - n); gates in the order g, r, z."""
    gates, extra, weight, states, _ = block
    before, flat, rows = states[0].unbind(), _flat(gates), _steps(gates)
    hs, candidates = _steps(states[0]), _steps(extra)
    scratch = np.empty_like(hs[0])
    for t, pre in enumerate(flat):
        pre.baddbmm_(weight, before[t])
        row, n, h = rows[t], candidates[t], hs[t + 1]
        logistic = row[:, 1:]
        _logistic(np.tanh(logistic, out=logistic))
        n += np.multiply(row[:, 0], row[:, 1], out=scratch)
        np.tanh(n, out=n)
        np.subtract(hs[t], n, out=h)
        h *= row[:, 2]
        h += n


def gru_backward(block: Block, dh: torch.Tensor, carry: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """Every gate's gradient is that of h times a factor known beforehand."""
    gates, extra, weight, states, _ = block
    g, r, z = gates.unbind(2)
    inner = (1 - z) * (1 - extra.square())
    factor = torch.stack((inner * r, inner * g * r * (1 - r), (states[0][:-1] - extra) * z * (1 - z)), dim=2)
    before, flat, rows, dhs, keeps = dh.unbind(), _flat(factor), _steps(factor), _steps(dh), _steps(z)
    wide = _steps(dh.unsqueeze(2))
    scratch = np.empty_like(dhs[0])
    for t in range(len(flat) - 1, -1, -1):
        rows[t] *= wide[t + 1]
        dhs[t] += np.multiply(dhs[t + 1], keeps[t], out=scratch)
        before[t].baddbmm_(weight, flat[t])
    return factor, inner.mul_(dh[1:])


def slstm_forward(block: Block) -> None:
    """The stabilised cell; gates in the order i, f, z, o, where i and f become the stabilised exponentials."""
    gates, _, weight, states, more = block
    before, flat, rows, ratios = states[0].unbind(), _flat(gates), _steps(gates), _steps(more[0])
    hs, cs, ns, ms = map(_steps, states)
    raw_forgets, forgets = gates[:, :, 1].unbind(), []
    scratch = np.empty_like(cs[0])
    for t, pre in enumerate(flat):
        pre.baddbmm_(weight, before[t])
        forgets.append(functional.logsigmoid(raw_forgets[t]))
        row, c, n, m = rows[t], cs[t + 1], ns[t + 1], ms[t + 1]
        i, f, o = row[:, 0], row[:, 1], row[:, 3]
        np.add(forgets[t].numpy().reshape(m.shape), ms[t], out=f)
        np.maximum(i, f, out=m)
        exponential = row[:, :2]
        exponential -= m[:, None]
        np.exp(exponential, out=exponential)
        np.tanh(row[:, 2:], out=row[:, 2:])
        _logistic(o)
        np.multiply(f, cs[t], out=c)
        c += np.multiply(i, row[:, 2], out=scratch)
        np.multiply(f, ns[t], out=n)
        n += i
        # one of the two exponentials is 1, so that n >= 1 stays true once it is
        if t == 0:
            np.maximum(n, 1.0, out=n)
        np.multiply(o, np.divide(c, n, out=ratios[t]), out=hs[t + 1])
    torch.stack(forgets, out=more[1]).expm1_().neg_()


def slstm_backward(block: Block, dh: torch.Tensor, carry: Tensors) -> tuple[torch.Tensor, None]:
    """As for the LSTM, with the normaliser's gradient beside that of c; `carry` holds `rest` in the place of m.

    h does not change when (c, n, m) become (c e^-d, n e^-d, m + d). So m adds nothing to the gradient of any h, and
    what a gradient of the last states holds beyond that, rest = dm - c dc - n dn, goes back unchanged to the step
    that set the last m.
    """
    gates, _, weight, states, more = block
    i, f, z, o = gates.unbind(2)
    _, c, n, _ = states
    ratio, slope = more
    inner = o / n[1:]
    factor = torch.empty_like(gates)
    by_i, by_f, by_z, by_o = factor.unbind(2)
    torch.mul(z, i, out=by_i)
    torch.addcmul(i, by_i, z, value=-1, out=by_z)
    torch.mul(c[:-1], f, out=by_f).mul_(slope)
    shown = ratio * o
    torch.addcmul(shown, shown, o, value=-1, out=by_o)
    before, flat, rows, dhs, keeps = dh.unbind(), _flat(factor), _steps(factor), _steps(dh), _steps(f)
    by_n, through, through_n = map(_steps, (torch.stack((i, n[:-1] * f * slope), dim=2), inner, inner * ratio))
    dc, dn, rest = (grad.flatten(1).numpy() for grad in carry[1:])
    scratch, wide, wide_n = np.empty_like(dc), dc[:, None], dn[:, None]
    for t in range(len(flat) - 1, -1, -1):
        row, dh_row = rows[t], dhs[t + 1]
        dc += np.multiply(dh_row, through[t], out=scratch)
        dn -= np.multiply(dh_row, through_n[t], out=scratch)
        # only the very first step of a sequence can be clamped
        if t == 0:
            clamped = (f[0] * n[0] + i[0] < 1.0).flatten(1).numpy()
            rest += np.where(clamped, dn, 0.0)
            dn[clamped] = 0.0
        row[:, :3] *= wide
        row[:, :2] += np.multiply(by_n[t], wide_n, out=by_n[t])
        row[:, 3] *= dh_row
        if rest.any():
            chosen = _chosen(i[t], f[t])
            row[:, 0] += rest * chosen
            rest *= 1 - chosen
            row[:, 1] += rest * slope[t].flatten(1).numpy()
        dc *= keeps[t]
        dn *= keeps[t]
        before[t].baddbmm_(weight, flat[t])
    return factor, None


LOOPS: Mapping[str, tuple[Forward, Backward]] = {
    "elman": (elman_forward, elman_backward),
    "lstm": (lstm_forward, lstm_backward),
    "gru": (gru_forward, gru_backward),
    "slstm": (slstm_forward, slstm_backward),
}


def _logistic(half: Array) -> None:
    """Make tanh x, in place, the logistic function of 2x."""
    half *= 0.5
    half += 0.5


def _chosen(i: torch.Tensor, f: torch.Tensor) -> Array:
    """How much of m' came from the input gate: 1, 0, or 1/2 at a tie, as torch.maximum shares a gradient."""
    share: Array = torch.where(i == 1, 1 - 0.5 * (f == 1).to(i.dtype), 0.0).flatten(1).numpy()
    return share


def _steps(array: torch.Tensor) -> list[Array]:
    """Views by numpy of each step, width and batch merged into one run of memory."""
    return list(array.flatten(-2).numpy())


def _flat(gates: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The gates of each step as the rows [H, P*D, B] of a matrix product."""
    return gates.flatten(2, 3).unbind()
