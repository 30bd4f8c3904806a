"""What is a stack of dilated causal convolutions? Layers whose taps lie b^i steps apart, each with its own past."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.kernels._dispatch import operation
from harness.models.sequence._mixer import State

# B batch, T time, D width, K taps

causal_conv = operation("causal_conv")


@final
class DilatedStack(nn.Module):
    """Causal convolutions of K taps at the given dilations, with a nonlinearity after each if `active`.

    A full convolution mixes channels and has weight normalisation (Salimans & Kingma 2016, as in the TCN); a depthwise
    one does neither. Weights and biases start as torch's do.
    """

    def __init__(self, width: int, taps: int, dilations: tuple[int, ...], depthwise: bool, active: bool) -> None:
        super().__init__()
        self.width, self.taps, self.dilations, self.active = width, taps, dilations, active
        shape = (width, taps) if depthwise else (width, width, taps)
        bound = taps**-0.5 if depthwise else (width * taps) ** -0.5
        self.weights = nn.ParameterList(torch.empty(shape).uniform_(-bound, bound) for _ in dilations)
        self.biases = nn.ParameterList(torch.empty(width).uniform_(-bound, bound) for _ in dilations)
        self.gains: nn.ParameterList | None = None
        if not depthwise:
            self.gains = nn.ParameterList(weight.detach().flatten(1).norm(dim=1) for weight in self.weights)

    @property
    def receptive_field(self) -> int:
        """Steps that an output depends on: 1 + (K - 1) times the sum of the dilations."""
        return 1 + (self.taps - 1) * sum(self.dilations)

    def start(self, batch: int, device: torch.device, dtype: torch.dtype) -> State:
        """Silence: (K - 1) dilation steps for every layer."""
        return {
            f"past{layer}": torch.zeros(batch, self.width, (self.taps - 1) * dilation, device=device, dtype=dtype)
            for layer, dilation in enumerate(self.dilations)
        }

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs [B, T, D] and the pasts."""
        y_BDT, after = x_BTD.transpose(1, 2), {}
        for layer, dilation in enumerate(self.dilations):
            name, weight = f"past{layer}", self.weights[layer]
            if self.gains is not None:
                norm = weight.flatten(1).norm(dim=1).clamp(min=1e-12)
                weight = weight * (self.gains[layer] / norm)[:, None, None]
            past = state[name].to(y_BDT.dtype)
            y_BDT, held = causal_conv(y_BDT, weight, self.biases[layer], past, dilation=dilation)
            after[name] = held.to(state[name].dtype)
            if self.active:
                y_BDT = functional.relu(y_BDT)
        return y_BDT.transpose(1, 2), after
