"""Are Mamba and Mamba-2 the blocks that transformers runs with the same weights?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Mamba2Config, MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

from harness.models.sequence._mixer import Site
from harness.models.sequence.mamba import Mamba, SelectiveScan
from harness.models.sequence.mamba2 import SSD, Mamba2

WIDTH, LENGTH = 16, 21


def drawn(module: nn.Module) -> None:
    """Weights of their own for what starts at one number: norms, skips, biases."""
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.3 * torch.randn_like(parameter))


def short_conv(ours: Any, theirs: nn.Conv1d) -> None:
    """Their taps go from the oldest input to the newest, ours from the newest."""
    assert theirs.bias is not None
    theirs.weight.copy_(ours.weight.flip(1)[:, None])
    theirs.bias.copy_(ours.bias)


def test_mamba_is_the_block_of_transformers(largest: Callable[[Any, Any], float]) -> None:
    ours = Mamba(states=4).mixer(Site(WIDTH)).double().eval()
    assert isinstance(ours, SelectiveScan)
    drawn(ours)
    config = MambaConfig(hidden_size=WIDTH, state_size=4, time_step_rank=1, num_hidden_layers=1)
    theirs = MambaMixer(config, layer_idx=0).double().eval()
    theirs.in_proj.weight.copy_(ours.project.weight)
    short_conv(ours.conv, theirs.conv1d)
    theirs.x_proj.weight.copy_(ours.select.weight)
    theirs.dt_proj.load_state_dict(ours.dt.state_dict())
    theirs.A_log.copy_(ours.log_a)
    theirs.D.copy_(ours.d)
    theirs.out_proj.weight.copy_(ours.out.weight)
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    # their poles pass through float32
    assert largest(ours(x)[0], theirs(x)) < 1e-7


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_mamba_2_is_the_block_of_transformers(largest: Callable[[Any, Any], float], scale: float) -> None:
    # small inputs show the norm's epsilon
    ours = Mamba2(states=8, head=8).mixer(Site(WIDTH)).double().eval()
    assert isinstance(ours, SSD)
    drawn(ours)
    config = Mamba2Config(
        hidden_size=WIDTH, state_size=8, head_dim=8, num_heads=4, n_groups=1, chunk_size=8, num_hidden_layers=1
    )
    theirs = Mamba2Mixer(config, layer_idx=0).double().eval()
    theirs.in_proj.weight.copy_(ours.project.weight)
    short_conv(ours.conv, theirs.conv1d)
    theirs.dt_bias.copy_(ours.dt_bias)
    theirs.A_log.copy_(ours.log_a)
    theirs.D.copy_(ours.d)
    theirs.norm.weight.copy_(ours.norm.weight)
    theirs.out_proj.weight.copy_(ours.out.weight)
    x = scale * torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    assert largest(ours(x)[0], theirs(x)) < 1e-6
