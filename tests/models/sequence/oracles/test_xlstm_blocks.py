"""Are xLSTM's blocks and the 7B layer those of the xlstm package on the same weights, and do they start alike?"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.models.sequence._mixer import Site
from harness.models.sequence.mlstm import MLSTM, MatrixLSTM
from harness.models.sequence.xlstm import XLSTM, MatrixBlock, ScalarBlock

WIDTH, HEADS, LENGTH = 32, 4, 21  # theirs rounds the inner width up to a multiple of 64


def scattered(made: Any) -> Any:
    """Weights that start equal or at zero would hide what they are for."""
    for parameter in made.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return made


def matrix_block(width: int, blocks: int, **facts: int) -> Any:
    layers = pytest.importorskip("xlstm.blocks.mlstm.layer", reason="oracles extra is not installed")
    config = layers.mLSTMLayerConfig(embedding_dim=width, num_heads=HEADS, _num_blocks=blocks, **facts)
    return layers.mLSTMLayer(config)


def scalar_block(width: int, block: int, blocks: int) -> Any:
    layers = pytest.importorskip("xlstm.blocks.slstm.layer", reason="oracles extra is not installed")
    config = layers.sLSTMLayerConfig(
        embedding_dim=width,
        num_heads=HEADS,
        backend="vanilla",
        dtype="float32",
        enable_automatic_mixed_precision=False,
        _block_idx=block,
        _num_blocks=blocks,
    )
    made = layers.sLSTMLayer(config)
    made.reset_parameters()
    return made


def test_the_matrix_block_is_xlstms_mlstm_layer(largest: Callable[[Any, Any], float]) -> None:
    theirs = matrix_block(WIDTH, 2, context_length=LENGTH).double()
    ours = scattered(XLSTM(heads=HEADS, scalar=0).mixer(Site(WIDTH, 0, 2)).double())
    assert isinstance(ours, MatrixBlock)
    assert ours.conv.bias is not None
    theirs.proj_up.weight.copy_(ours.up.weight)
    # their taps go from the oldest input to the newest
    theirs.conv1d.conv.weight.copy_(ours.conv.weight.flip(1)[:, None])
    theirs.conv1d.conv.bias.copy_(ours.conv.bias)
    for part, projection in enumerate((theirs.q_proj, theirs.k_proj, theirs.v_proj)):
        projection.weight.copy_(ours.maps[part])
    for part, gate in enumerate((theirs.mlstm_cell.igate, theirs.mlstm_cell.fgate)):
        gate.weight.copy_(ours.gates.weight.chunk(2)[part])
        gate.bias.copy_(ours.gates.bias.chunk(2)[part])
    theirs.mlstm_cell.outnorm.weight.copy_(ours.norm.weight.flatten() - 1)
    theirs.learnable_skip.copy_(ours.skip)
    theirs.proj_down.weight.copy_(ours.down.weight)
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    # they add 1e-6 to the normaliser
    assert largest(ours(x)[0], theirs(x)) < 1e-4


def test_the_scalar_block_is_xlstms_slstm_layer(largest: Callable[[Any, Any], float]) -> None:
    theirs = scalar_block(WIDTH, 0, 2)
    ours = scattered(XLSTM(heads=HEADS, matrix=0).mixer(Site(WIDTH, 0, 2)))
    assert isinstance(ours, ScalarBlock)
    assert ours.conv.bias is not None
    # their taps go from the oldest input to the newest
    theirs.conv1d.conv.weight.copy_(ours.conv.weight.flip(1)[:, None])
    theirs.conv1d.conv.bias.copy_(ours.conv.bias)
    # their names of the first two are exchanged: what they call `fgate` opens the input
    for part, gate in enumerate((theirs.fgate, theirs.igate, theirs.zgate, theirs.ogate)):
        gate.weight.copy_(ours.project[part])
    held = dict(theirs.slstm_cell.named_parameters())
    held["_recurrent_kernel_"].copy_(ours.recurrent.transpose(0, 1).flatten(1, 2))
    held["_bias_"].copy_(ours.bias.flatten())
    theirs.group_norm.weight.copy_(ours.norm.weight.flatten() - 1)
    x = torch.randn(2, LENGTH, WIDTH)
    assert largest(ours(x)[0], theirs(x)) < 1e-5


@pytest.fixture
def transformers_xlstm(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Transformers' own plain definition; beside the xlstm package it would take that one's kernels."""
    monkeypatch.setattr("transformers.utils.is_xlstm_available", lambda: False)
    monkeypatch.delitem(sys.modules, "transformers.models.xlstm.modeling_xlstm", raising=False)
    return importlib.import_module("transformers.models.xlstm.modeling_xlstm")


def config(published: Any, width: int) -> Any:
    return published.xLSTMConfig(
        hidden_size=width, num_heads=HEADS, num_hidden_layers=2, vocab_size=8, autocast_kernel_dtype="float32"
    )


@pytest.mark.parametrize("spread", [0.3, 30.0])
def test_the_7b_layer_is_transformers_xlstms_and_its_gates_are_capped(
    largest: Callable[[Any, Any], float], transformers_xlstm: Any, spread: float
) -> None:
    theirs = transformers_xlstm.xLSTMLayer(config(transformers_xlstm, WIDTH))
    ours = scattered(MLSTM(heads=HEADS).mixer(Site(WIDTH, 0, 2)))
    assert isinstance(ours, MatrixLSTM)
    # beyond the cap of 15, so that a layer without it would answer otherwise
    ours.gates.weight.normal_(std=spread)
    parts: list[tuple[Any, Tensor]] = [
        *zip((theirs.q, theirs.k), ours.query_key.weight.chunk(2), strict=True),
        (theirs.v, ours.value.weight),
        (theirs.ogate_preact, ours.leave.weight),
        *zip((theirs.igate_preact, theirs.fgate_preact), ours.gates.weight.chunk(2), strict=True),
        (theirs.multihead_norm, ours.norm.weight.flatten()),
        (theirs.out_proj, ours.out.weight),
    ]
    for layer, weight in parts:
        layer.weight.copy_(weight)
    theirs.igate_preact.bias.copy_(ours.gates.bias[:HEADS])
    theirs.fgate_preact.bias.copy_(ours.gates.bias[HEADS:])
    assert sorted(name for name, _ in theirs.named_parameters() if "bias" in name) == [
        "fgate_preact.bias",
        "igate_preact.bias",
    ]
    x = torch.randn(2, LENGTH, WIDTH)
    assert largest(ours(x)[0], theirs(x)[0]) < 1e-4


@pytest.mark.parametrize("blocks", [1, 2, 12])
def test_the_matrix_block_starts_as_xlstms_does(blocks: int) -> None:
    theirs = matrix_block(64, blocks, context_length=1)
    ours = XLSTM(heads=HEADS, scalar=0).mixer(Site(64, 0, blocks))
    assert isinstance(ours, MatrixBlock)
    pairs = [(ours.up.weight, theirs.proj_up.weight), (ours.maps[0], theirs.q_proj.weight)]
    for mine, their in [*pairs, (ours.down.weight, theirs.proj_down.weight)]:
        assert float(mine.std()) == pytest.approx(float(their.std()), rel=0.1)
    assert torch.equal(ours.gates.bias[HEADS:], theirs.mlstm_cell.fgate.bias)
    # at width 64, two blocks: 0.079 and 0.125
    if blocks == 2:
        assert float(ours.up.weight.std()) == pytest.approx(0.079, abs=0.002)
        assert float(ours.down.weight.std()) == pytest.approx(0.125, abs=0.003)


@pytest.mark.parametrize("block", [0, 3])
def test_the_scalar_block_starts_as_xlstms_does(largest: Callable[[Any, Any], float], block: int) -> None:
    theirs = scalar_block(64, block, 4)
    ours = XLSTM(heads=HEADS, matrix=0).mixer(Site(64, block, 4))
    assert isinstance(ours, ScalarBlock)
    assert float(ours.project.std()) == pytest.approx(float(theirs.zgate.weight.std()), rel=0.1)
    assert float(ours.project.std()) == pytest.approx(0.079, abs=0.003)
    assert largest(ours.bias.transpose(0, 1), torch.stack([*theirs.slstm_cell.bias])) < 1e-5


def test_the_7b_layer_starts_as_transformers_does(transformers_xlstm: Any) -> None:
    theirs = transformers_xlstm.xLSTMModel(config(transformers_xlstm, 64)).blocks[0].mlstm_layer
    ours = MLSTM(heads=HEADS).mixer(Site(64, 0, 2))
    assert isinstance(ours, MatrixLSTM)
    for mine, their in ((ours.value, theirs.v), (ours.query_key, theirs.q), (ours.out, theirs.out_proj)):
        assert float(mine.weight.std()) == pytest.approx(float(their.weight.std()), rel=0.1)
    assert not ours.leave.weight.any()
    assert not theirs.ogate_preact.weight.any()
    assert torch.equal(ours.gates.bias, torch.cat([theirs.igate_preact.bias, theirs.fgate_preact.bias]))
