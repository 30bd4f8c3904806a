"""How does a diagonal state-space layer run? As a long convolution with its kernel, or step by step, with one state.

h_t = a h_{t-1} + b x_t and y_t = Re(c h_t) + d x_t for N numbers a channel; every model of the family brings its own
(a, b, c) and shares what follows from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from harness.kernels._dispatch import operation
from harness.models.sequence._mixer import State, state_dtype

# B batch, T time, H channels, N state size

long_conv = operation("long_conv")
vandermonde = operation("vandermonde")

BLOCK = 64  # steps whose powers are held at once


@dataclass(frozen=True, slots=True)
class Diagonal:
    """A discretised layer: log a [H, N], b c joined as `weight` [H, N] (the input enters as 1), skip d [H]."""

    log_a_HN: Tensor
    weight_HN: Tensor
    skip_H: Tensor


def run(system: Diagonal, x_BHT: Tensor, state_BHN: Tensor | None, hand_on: bool) -> tuple[Tensor, Tensor | None]:
    """Outputs [B, H, T] and, when asked, the state after the last step.

    `state` holds the sums h_n of a_n^(t-s) x_s, with b and c applied on reading.
    """
    length = x_BHT.shape[-1]
    if length == 0:
        return x_BHT, state_BHN
    filter_HT = vandermonde(system.weight_HN, system.log_a_HN, length)
    y_BHT, _ = long_conv(x_BHT, filter_HT.to(x_BHT.dtype), system.skip_H.to(x_BHT.dtype))
    if state_BHN is not None:
        y_BHT = y_BHT + _read(system, state_BHN, length).to(x_BHT.dtype)
    return y_BHT, _state(system, x_BHT, state_BHN) if hand_on else None


def step(system: Diagonal, x_BH: Tensor, state_BHN: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the recurrence itself."""
    state_BHN = torch.exp(system.log_a_HN) * state_BHN + x_BH[..., None]
    y_BH = (system.weight_HN * state_BHN).sum(-1)
    return (y_BH.real.to(x_BH.dtype) if y_BH.is_complex() else y_BH.to(x_BH.dtype)) + system.skip_H * x_BH, state_BHN


def empty(batch: int, channels: int, size: int, device: torch.device, dtype: torch.dtype, real: bool = False) -> State:
    """Zeros, complex unless the layer is real."""
    kind = state_dtype(dtype)
    if not real:
        kind = torch.complex128 if kind == torch.float64 else torch.complex64
    return {"state": torch.zeros(batch, channels, size, device=device, dtype=kind)}


def _read(system: Diagonal, state_BHN: Tensor, length: int) -> Tensor:
    """What an earlier state adds to the next `length` outputs: Re(weight a^(t+1) h)."""
    parts, carried = [], system.weight_HN * torch.exp(system.log_a_HN) * state_BHN
    powers_HNT = _powers(system.log_a_HN, min(BLOCK, length)).to(carried.dtype)
    fading_HN = torch.exp(system.log_a_HN * BLOCK)
    for start in range(0, length, BLOCK):
        part = torch.einsum("bhn,hnt->bht", carried, powers_HNT[..., : length - start])
        parts.append(part.real if part.is_complex() else part)
        carried = carried * fading_HN
    return torch.cat(parts, -1)


def _state(system: Diagonal, x_BHT: Tensor, state_BHN: Tensor | None) -> Tensor:
    """The state after the last step: what every block wrote, in one product, then the decay from block to block."""
    length = x_BHT.shape[-1]
    size = min(BLOCK, length)
    # steps of zeros in front add nothing
    padded = functional.pad(x_BHT.to(state_dtype(x_BHT.dtype)), (-length % size, 0))
    powers_HNT = _powers(system.log_a_HN, size).flip(-1)
    parts = torch.view_as_real(powers_HNT) if powers_HNT.is_complex() else powers_HNT[..., None]
    product = torch.einsum("bhkt,hntp->bhknp", padded.unflatten(-1, (-1, size)), parts)
    fresh_BHKN = torch.view_as_complex(product.contiguous()) if powers_HNT.is_complex() else product[..., 0]
    held = fresh_BHKN[:, :, 0]
    if state_BHN is not None:
        first = length - size * (fresh_BHKN.shape[2] - 1)
        held = held + torch.exp(system.log_a_HN * first) * state_BHN
    fading_HN = torch.exp(system.log_a_HN * size)
    for block in range(1, fresh_BHKN.shape[2]):
        held = fading_HN * held + fresh_BHKN[:, :, block]
    return held


def _powers(log_a_HN: Tensor, size: int) -> Tensor:
    """a^t for t < size, as products of coarse and fine powers, since a complex exponential costs many products."""
    fine = math.isqrt(size - 1) + 1
    time = torch.arange(fine, device=log_a_HN.device).to(log_a_HN.real.dtype)
    coarse_HNC, fine_HNF = (torch.exp(log_a_HN[..., None] * (time * stride)) for stride in (fine, 1))
    return (coarse_HNC[..., None] * fine_HNF[..., None, :]).flatten(-2)[..., :size]
