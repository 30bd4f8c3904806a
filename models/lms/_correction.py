"""How is a recurrent state corrected while a text is read? One gradient step on an error signal after every word.

    s' = s - eta * d delta / d s     for the hidden and the cell state s of every layer

`delta` is a row's own number, so rows do not talk; the gradient is a constant to whatever learns the step size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models.lms._word_lstm import Layers, WordLSTM

# B batch, D width, L layers, S dropout samples, V symbols

Signal = Literal["surprisal", "published", "dropout", "ensemble"]
Stride = Literal["fixed", "learned", "predicted"]
KNOWS_THE_WORD = ("surprisal", "published")
RATE = 0.21  # dropout of the Monte Carlo samples, the published value
HIDDEN = (300, 100)  # widths of the network that predicts step sizes, the published ones


@final
class StepSizes(nn.Module):
    """eta >= 0 [B, 1] of every layer's hidden and cell state: given, learned, or predicted from the hidden state."""

    def __init__(self, stride: Stride, value: float, width: int, depth: int) -> None:
        super().__init__()
        self.stride, self.value = stride, value
        # softplus of this is `value`
        before = torch.tensor(value).clamp(min=1e-6).expm1().log()
        if stride == "learned":
            self.raw = nn.Parameter(before.repeat(2 * depth))
        if stride == "predicted":
            sizes = (width, *HIDDEN)
            self.networks = nn.ModuleList()
            for _ in range(depth):
                inner = [part for a, b in zip(sizes, HIDDEN, strict=False) for part in (nn.Linear(a, b), nn.ReLU())]
                last = nn.Linear(HIDDEN[-1], 2)
                nn.init.zeros_(last.weight)
                nn.init.constant_(last.bias, float(before))
                self.networks.append(nn.Sequential(*inner, last))

    def forward(self, state: Layers) -> list[Tensor]:
        """Step sizes in the order of `Layers.tensors`."""
        if self.stride == "predicted":
            pairs = [
                functional.softplus(network(hidden))
                for network, hidden in zip(self.networks, state.hidden, strict=True)
            ]
            return [pair[:, :1] for pair in pairs] + [pair[:, 1:] for pair in pairs]
        if self.stride == "learned":
            return list(functional.softplus(self.raw).unbind())
        return [torch.tensor(self.value, dtype=item.dtype) for item in state.tensors()]


@dataclass(frozen=True, slots=True)
class Corrected:
    """A state after its correction, the law that is believed, and the signal before and after."""

    state: Layers
    law_BV: Tensor  # log-probabilities
    before_B: Tensor
    after_B: Tensor


@final
@dataclass(frozen=True)
class Corrector:
    """Corrects a network's states by one signal."""

    network: WordLSTM
    signal: Signal
    sizes: StepSizes
    samples: int = 10
    seed: int = 0

    def step(self, words_B: Tensor, state: Layers, next_B: Tensor, place: int) -> Corrected:
        """Read a word, and correct the state it leaves behind.

        A signal that knows the next word may not choose its law: that word is predicted before the correction, which
        only later words hear. An entropy knows nothing, so the next word is predicted from the corrected state.
        """
        masks = self._masks(place) if self.signal == "dropout" else None
        with torch.enable_grad():
            state = self.network.step(words_B, _attached(state))
            law_BV = self.network.law(state.hidden[-1])
            before_B = self._delta(state, law_BV, next_B, masks)
            slopes = torch.autograd.grad(before_B.sum(), state.tensors(), retain_graph=True)
            found = [
                item - eta * slope for item, slope, eta in zip(state.tensors(), slopes, self.sizes(state), strict=True)
            ]
        moved = Layers.of(found)
        again_BV = self.network.law(moved.hidden[-1])
        after_B = self._delta(moved, again_BV, next_B, masks)
        believed = law_BV if self.signal in KNOWS_THE_WORD else again_BV
        return Corrected(moved, believed, before_B.detach(), after_B.detach())

    def _delta(self, state: Layers, law_BV: Tensor, next_B: Tensor, masks_SD: Tensor | None) -> Tensor:
        if self.signal in KNOWS_THE_WORD:
            logp_B = law_BV.gather(1, next_B[:, None])[:, 0]
            # p^-p - 1 = exp(-p log p) - 1, which the published code calls perplexity
            return -logp_B if self.signal == "surprisal" else torch.expm1(-logp_B.exp() * logp_B)
        mean_BV = law_BV if masks_SD is None else self.network.law(state.hidden[-1], masks_SD)
        return -(mean_BV.exp() * mean_BV).sum(1)

    def _masks(self, place: int) -> Tensor:
        """Dropout masks of this place in any text, so that neither company nor order of rows changes them."""
        drawn = torch.rand(
            self.samples,
            self.network.embed.embedding_dim,
            generator=torch.Generator().manual_seed(self.seed * 1_000_003 + place),
        )
        return (drawn >= RATE).to(self.network.weight) / (1 - RATE)


def _attached(state: Layers) -> Layers:
    """The state itself where a graph leads to it; a leaf where none does, since autograd wants one."""
    return Layers.of([item if item.requires_grad else item.detach().requires_grad_() for item in state.tensors()])
