"""What does a network learn to predict? The token that comes next, or tokens that were hidden from it."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.models.sequence._backbone import Backbone, cross_entropy

# B batch, T time

IGNORED = -100


def next_token(network: Backbone, tokens_BT: Tensor) -> tuple[Tensor, int]:
    """Mean nats of each token after the first given those before it, and how many; the network must be causal."""
    outputs, _ = network(tokens_BT[:, :-1])
    return cross_entropy(outputs, tokens_BT[:, 1:])


def hidden_token(network: Backbone, tokens_BT: Tensor, hidden_BT: Tensor, mask: int, ahead: bool) -> tuple[Tensor, int]:
    """Mean nats of the hidden tokens, each replaced by the symbol `mask`, and how many.

    A token is named at its own position or, when `ahead`, at the one before it: masked next-token prediction, which
    a network that was trained to look ahead goes on with (its first token is then never graded).
    """
    outputs, targets = hidden_outputs(network, tokens_BT, hidden_BT, mask, ahead)
    return cross_entropy(outputs, targets)


def hidden_outputs(
    network: Backbone, tokens_BT: Tensor, hidden_BT: Tensor, mask: int, ahead: bool
) -> tuple[Tensor, Tensor]:
    """Outputs [B, T, V] and what they should name [B, T], -100 where nothing was hidden."""
    outputs, _ = network(tokens_BT.masked_fill(hidden_BT, mask))
    targets = tokens_BT.masked_fill(~hidden_BT, IGNORED)
    return (outputs[:, :-1], targets[:, 1:]) if ahead else (outputs, targets)


def hide(tokens_BT: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """True at a random `share` of the positions; from torch's own state, as dropout, where no generator is given."""
    return torch.rand(tokens_BT.shape, generator=generator).to(tokens_BT.device) < share
