"""Are the attentions those of torch, transformers and linformer on the same weights, once positions are left out?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models.sequence._banded import WindowAttention
from harness.models.sequence._memory import split_heads
from harness.models.sequence._mixer import Mixer, Site
from harness.models.sequence.bigbird import BigBird, MaskedAttention
from harness.models.sequence.ettin import Ettin
from harness.models.sequence.informer_encoder import InformerEncoder, ProbSparse
from harness.models.sequence.linformer import Linformer, LowRankAttention
from harness.models.sequence.local import ChunkAttention, Local
from harness.models.sequence.longformer import AnchoredAttention, Longformer
from harness.models.sequence.reformer import HashedAttention, Reformer
from harness.models.sequence.transformer import Attention, Transformer

WIDTH, HEADS = 16, 2


@pytest.fixture
def unturned(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rotary positions, which are compared apart from the rest."""
    for file in ("_banded", "bigbird", "informer_encoder", "linformer", "local"):
        monkeypatch.setattr(f"harness.models.sequence.{file}.rotate", lambda x, start: x)


def inputs(length: int) -> Tensor:
    return torch.randn(2, length, WIDTH, dtype=torch.float64)


def take(layers: list[Any], weights: tuple[Tensor, ...]) -> None:
    """Give each layer its weight; whatever bias theirs have is zero."""
    for layer, weight in zip(layers, weights, strict=True):
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.zero_()


@pytest.mark.parametrize("causal", [True, False])
def test_the_transformer_is_torchs_multi_head_attention(largest: Callable[[Any, Any], float], causal: bool) -> None:
    made = Transformer(heads=HEADS, positions="none", causal=causal).mixer(Site(WIDTH)).double()
    assert isinstance(made, Attention)
    theirs = nn.MultiheadAttention(WIDTH, HEADS, bias=False, batch_first=True).double()
    theirs.in_proj_weight.copy_(made.project.weight)
    theirs.out_proj.weight.copy_(made.out.weight)
    x = inputs(19)
    later = nn.Transformer.generate_square_subsequent_mask(19, dtype=torch.float64) if causal else None
    assert largest(made(x)[0], theirs(x, x, x, attn_mask=later, need_weights=False)[0]) < 1e-12


@pytest.mark.parametrize("layer", [0, 1])
def test_ettins_layers_are_modernberts_with_one_rotary_base(largest: Callable[[Any, Any], float], layer: int) -> None:
    modernbert = pytest.importorskip("transformers.models.modernbert.modeling_modernbert")
    config = modernbert.ModernBertConfig(
        vocab_size=8, hidden_size=WIDTH, num_attention_heads=HEADS, num_hidden_layers=2, local_attention=6,
        global_rope_theta=10_000.0, attn_implementation="eager",
        pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    made = Ettin(heads=HEADS, window=6, causal=False).mixer(Site(WIDTH, layer, 2))
    assert isinstance(made, WindowAttention if layer else Attention)
    theirs = modernbert.ModernBertAttention(config, layer)
    take([theirs.Wqkv, theirs.Wo], (made.project.weight, made.out.weight))
    x, place = inputs(23).float(), torch.arange(23)
    turn = modernbert.ModernBertRotaryEmbedding(config)(x, place[None], layer_type=config.layer_types[layer])
    hidden = (place[:, None] - place).abs() > 3 if layer else torch.zeros(23, 23, dtype=torch.bool)
    mask = torch.zeros(1, 1, 23, 23).masked_fill(hidden, -torch.inf)
    assert largest(made(x)[0], theirs(x, position_embeddings=turn, attention_mask=mask)[0]) < 1e-5


def test_local_attention_is_torchs_attention_in_each_chunk_alone(
    largest: Callable[[Any, Any], float], unturned: None
) -> None:
    made = Local(heads=HEADS, chunk=5).mixer(Site(WIDTH)).double()
    assert isinstance(made, ChunkAttention)
    theirs = nn.MultiheadAttention(WIDTH, HEADS, bias=False, batch_first=True).double()
    theirs.in_proj_weight.copy_(made.maps.weight)
    theirs.out_proj.weight.copy_(made.leave.weight)
    x = inputs(18)
    pieces = []
    for piece in x.split(5, 1):
        later = nn.Transformer.generate_square_subsequent_mask(piece.shape[1], dtype=torch.float64)
        pieces.append(theirs(piece, piece, piece, attn_mask=later, need_weights=False)[0])
    assert largest(made(x)[0], torch.cat(pieces, 1)) < 1e-12


@pytest.mark.parametrize(("window", "anchors"), [(4, 1), (8, 3)])
def test_longformer_is_transformers_sliding_window_with_global_tokens(
    largest: Callable[[Any, Any], float], unturned: None, window: int, anchors: int
) -> None:
    longformer = pytest.importorskip("transformers.models.longformer.modeling_longformer")
    config = longformer.LongformerConfig(
        hidden_size=WIDTH, num_attention_heads=HEADS, num_hidden_layers=1, attention_window=[window],
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    made = Longformer(heads=HEADS, window=window, anchors=anchors, causal=False).mixer(Site(WIDTH)).double()
    assert isinstance(made, AnchoredAttention)
    theirs = longformer.LongformerSelfAttention(config, 0).double()
    take([theirs.query, theirs.key, theirs.value], made.band.project.weight.chunk(3))
    take([theirs.query_global, theirs.key_global, theirs.value_global], made.project.weight.chunk(3))
    length = 5 * window
    x = inputs(length)
    anchored = (torch.arange(length) < anchors).expand(2, -1)
    answer = theirs(
        x,
        attention_mask=10_000.0 * anchored,
        is_index_masked=torch.zeros_like(anchored),
        is_index_global_attn=anchored,
        is_global_attn=True,
    )[0]
    # their softmax runs in float32
    assert largest(made(x)[0], made.band.out(answer)) < 1e-6


def test_bigbird_is_transformers_attention_under_window_anchors_and_each_heads_own_keys(
    largest: Callable[[Any, Any], float], unturned: None
) -> None:
    bigbird = pytest.importorskip("transformers.models.big_bird.modeling_big_bird")
    made = BigBird(heads=HEADS, window=3, anchors=2, random=2).mixer(Site(WIDTH)).double()
    assert isinstance(made, MaskedAttention)
    config = bigbird.BigBirdConfig(hidden_size=WIDTH, num_attention_heads=HEADS, attention_probs_dropout_prob=0.0)
    theirs = bigbird.BigBirdSelfAttention(config).double()
    take([theirs.query, theirs.key, theirs.value], (made.queries.weight, *made.memory.weight.chunk(2)))
    length = 31
    x, mask = inputs(length), torch.full((1, HEADS, length, length), -torch.inf, dtype=torch.float64)
    for head in range(HEADS):
        for t in range(length):
            near, far = range(max(0, t - 2), t + 1), range(min(2, t + 1))
            numbers = [float(made.draws[head, (1009 * t + 31 * which) % 8191]) for which in range(2)]
            drawn = [int(number * (t + 1)) for number in numbers]
            mask[0, head, t, [*near, *far, *drawn]] = 0.0
    assert largest(made(x)[0], made.out(theirs(x, attention_mask=mask)[0])) < 1e-12


@pytest.mark.parametrize("length", [12, 20])
def test_linformer_is_the_linformer_package(largest: Callable[[Any, Any], float], unturned: None, length: int) -> None:
    package = pytest.importorskip("linformer", reason="oracles extra is not installed")
    made = Linformer(heads=HEADS, rank=5).mixer(Site(WIDTH, length=20)).double()
    assert isinstance(made, LowRankAttention)
    theirs = package.LinformerSelfAttention(WIDTH, 20, k=5, heads=HEADS).double()
    layers = [theirs.to_q, theirs.to_k, theirs.to_v, theirs.to_out]
    take(layers, (made.query.weight, *made.pair.weight.chunk(2), made.out.weight))
    theirs.proj_k.copy_(made.mixtures[0].T)
    theirs.proj_v.copy_(made.mixtures[1].T)
    x = inputs(length)
    assert largest(made(x)[0], theirs(x)) < 1e-12


@pytest.mark.parametrize("length", [20, 17])
@pytest.mark.parametrize("rounds", [1, 3])
def test_reformer_is_transformers_lsh_attention(largest: Callable[[Any, Any], float], rounds: int, length: int) -> None:
    reformer = pytest.importorskip("transformers.models.reformer.modeling_reformer")
    config = reformer.ReformerConfig(
        hidden_size=WIDTH, attention_head_size=WIDTH // HEADS, num_attention_heads=HEADS, num_buckets=6,
        num_hashes=rounds, lsh_attn_chunk_length=4, lsh_num_chunks_before=1, lsh_num_chunks_after=0, hash_seed=7,
        is_decoder=False, lsh_attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    made = Reformer(heads=HEADS, buckets=6, chunk=4, rounds=rounds).mixer(Site(WIDTH, length=20)).double()
    assert isinstance(made, HashedAttention)
    theirs = reformer.LSHSelfAttention(config).double().eval()
    take([theirs.query_key, theirs.value], (made.shared.weight, made.value.weight))
    x = inputs(length)
    # theirs wants whole chunks, and masks what fills the last one
    placed = functional.pad(x + made.positions(length), (0, 0, 0, 20 - length))
    valid = (torch.arange(20) < length).long().expand(2, -1)
    torch.manual_seed(7)
    drawn = torch.randn(HEADS, WIDTH // HEADS, rounds, 3, dtype=torch.float64)
    made.rotations = drawn.permute(2, 0, 1, 3)
    answer = theirs(placed, attention_mask=valid).hidden_states[:, :length]
    assert largest(made(x)[0], made.out(answer)) < 1e-12


@pytest.mark.parametrize("factor", [1, 2])
def test_informer_is_transformers_prob_sparse_attention_on_the_same_samples(
    largest: Callable[[Any, Any], float], unturned: None, monkeypatch: pytest.MonkeyPatch, factor: int
) -> None:
    informer = pytest.importorskip("transformers.models.informer.modeling_informer")
    length = 60
    made = InformerEncoder(heads=HEADS, factor=factor).mixer(Site(WIDTH)).double()
    assert isinstance(made, ProbSparse)
    theirs = informer.InformerProbSparseAttention(WIDTH, HEADS, sampling_factor=factor).double()
    take(
        [theirs.q_proj, theirs.k_proj, theirs.v_proj, theirs.out_proj],
        (made.query.weight, *made.pair.weight.chunk(2), made.out.weight),
    )
    for layer in (made.query, made.pair, made.out):
        layer.bias.zero_()
    # theirs draws some keys for all queries, ours factor ceil(ln L) for each: let both draw the same
    count = factor * math.ceil(math.log(length))
    drawn = torch.randint(0, length, (count,))
    monkeypatch.setattr(
        "harness.models.sequence.informer_encoder.spread",
        lambda draws, place, wide: ((drawn + 0.5) / length).expand(len(place), -1),
    )
    monkeypatch.setattr(torch, "randint", lambda low, high, size: drawn)
    x = inputs(length)
    assert largest(made(x)[0], theirs(x)[0]) < 1e-12


@pytest.mark.parametrize("length", [1, 2, 9, 10])
def test_informer_distils_as_transformers_does_without_its_batch_norm(
    largest: Callable[[Any, Any], float], length: int
) -> None:
    informer = pytest.importorskip("transformers.models.informer.modeling_informer")
    made = InformerEncoder(heads=HEADS).mixer(Site(WIDTH, 1, 2)).double()
    assert isinstance(made, ProbSparse)
    assert made.distil is not None
    theirs = informer.InformerConvLayer(WIDTH).double()
    theirs.norm = nn.Identity()
    theirs.downConv.weight.copy_(made.distil.weight)
    theirs.downConv.bias.copy_(made.distil.bias)
    x = inputs(length)
    # a row that is padded is a ring of its own length
    mask = torch.arange(length + 4).expand(2, -1) < length
    memory, kept = made._distilled(functional.pad(x, (0, 0, 0, 4), value=9.0), mask)
    assert kept.sum(1).tolist() == [(length + 1) // 2] * 2
    assert largest(memory[:, : (length + 1) // 2], theirs(x)) < 1e-12


def test_rotary_positions_are_transformers_llamas(largest: Callable[[Any, Any], float]) -> None:
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    config = llama.LlamaConfig(hidden_size=WIDTH, num_attention_heads=HEADS, max_position_embeddings=64)
    made: Mixer = Transformer(heads=HEADS).mixer(Site(WIDTH))
    assert isinstance(made, Attention)
    x = inputs(9).float()
    _, state = made(x)
    place = torch.arange(9)[None]
    keys = split_heads(made.project(x).chunk(3, -1)[1], HEADS)
    cos, sin = llama.LlamaRotaryEmbedding(config)(x, place)
    assert largest(state["keys"], llama.apply_rotary_pos_emb(keys, keys, cos, sin)[0]) < 1e-5
