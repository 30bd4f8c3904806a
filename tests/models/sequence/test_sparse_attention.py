"""Do cheaper attentions become full attention at their limits, and see what their masks say?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from harness.api.errors import UsageError
from harness.kernels.tree_attention import _masks as masks
from harness.models.sequence._banded import WindowAttention, banded
from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Site
from harness.models.sequence.linformer import Linformer, LowRankAttention
from harness.models.sequence.local import Local
from harness.models.sequence.longformer import AnchoredAttention, Longformer
from harness.models.sequence.reformer import HashedAttention, Reformer, axes
from harness.models.sequence.transformer import Attention, rotate

LENGTH = 21


def qkv(length: int = LENGTH) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(3, 2, 2, length, 4, dtype=torch.float64).unbind(0))


@pytest.mark.parametrize("window", [1, 2, 7, 21, 40])
@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_a_band_in_blocks_is_dense_attention_under_its_mask(window: int, ahead: int) -> None:
    q, k, v = qkv()
    valid = torch.ones(2, LENGTH, dtype=torch.bool)
    found = banded((q, k, v), (k[:, :, :0], v[:, :, :0], None), (window - 1, ahead), valid)
    mask = masks.window(LENGTH, window, ahead=ahead)
    assert torch.allclose(found, functional.scaled_dot_product_attention(q, k, v, attn_mask=mask), atol=1e-12)


def test_a_window_as_long_as_the_sequence_is_the_transformer() -> None:
    made = WindowAttention(8, 2, LENGTH).double()
    full = Attention(Site(8), 2, "rotary", True).double()
    full.project.load_state_dict(made.project.state_dict())
    full.out.load_state_dict(made.out.state_dict())
    x = torch.randn(2, LENGTH, 8, dtype=torch.float64)
    assert torch.allclose(made(x)[0], full(x)[0], atol=1e-12)


@pytest.mark.parametrize("causal", [True, False])
def test_other_tokens_of_longformer_see_the_band_and_the_anchors(causal: bool) -> None:
    made = Longformer(heads=2, window=5, anchors=2, causal=causal).mixer(Site(8)).double()
    x = torch.randn(1, LENGTH, 8, dtype=torch.float64)
    assert isinstance(made, AnchoredAttention)
    band = made.band
    q, k, v = (split_heads(part, 2) for part in band.project(x).chunk(3, -1))
    mask = masks.window(LENGTH, 5) if causal else masks.window(LENGTH, 3, ahead=2)
    mask = mask | masks.everyone(LENGTH, (0, 1))
    if causal:
        mask = mask & masks.causal(LENGTH)
    dense = functional.scaled_dot_product_attention(rotate(q, 0), rotate(k, 0), v, attn_mask=mask)
    expected = band.out(join_heads(dense))
    assert torch.allclose(made(x)[0][:, 2:], expected[:, 2:], atol=1e-12)


@pytest.mark.parametrize("causal", [True, False])
def test_longformer_without_anchors_in_a_window_beyond_the_sequence_is_full_attention(causal: bool) -> None:
    made = Longformer(heads=2, window=2 * LENGTH, anchors=0, causal=causal).mixer(Site(8)).double()
    full = Attention(Site(8), 2, "rotary", causal).double()
    band = made.band if isinstance(made, AnchoredAttention) else made
    full.project.load_state_dict(band.project.state_dict())
    full.out.load_state_dict(band.out.state_dict())
    x = torch.randn(2, LENGTH, 8, dtype=torch.float64)
    assert torch.allclose(made(x)[0], full(x)[0], atol=1e-12)


@pytest.mark.parametrize(("window", "anchors"), [(1, 0), (4, 3), (5, 1), (64, 2)])
def test_longformer_by_steps_is_longformer_in_parallel(
    disagreement: Callable[..., float], window: int, anchors: int
) -> None:
    assert disagreement(Longformer(heads=2, window=window, anchors=anchors).mixer(Site(8)), 8) < 1e-12


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_local_by_steps_is_local_in_parallel(disagreement: Callable[..., float], chunk: int) -> None:
    assert disagreement(Local(heads=2, chunk=chunk).mixer(Site(8)), 8) < 1e-12


def test_windows_hold_a_bounded_state() -> None:
    made = Longformer(heads=2, window=16, anchors=1).mixer(Site(8))
    assert made.state_bytes(1_000) == made.state_bytes(100_000) == 8 + 2 * 4 * 8 * (15 + 1 + 1)


def test_linformer_with_the_identity_is_full_attention() -> None:
    made = Linformer(heads=2, rank=LENGTH).mixer(Site(8, length=LENGTH)).double()
    assert isinstance(made, LowRankAttention)
    made.mixtures.copy_(torch.eye(LENGTH).expand(2, -1, -1))
    x = torch.randn(2, LENGTH, 8, dtype=torch.float64)
    k, v = (split_heads(part, 2) for part in made.pair(x).chunk(2, -1))
    q = split_heads(made.query(x), 2)
    full = functional.scaled_dot_product_attention(rotate(q, 0), rotate(k, 0), v)
    assert torch.allclose(made(x)[0], made.out(join_heads(full)), atol=1e-12)


def test_linformer_beyond_its_training_length_is_an_error() -> None:
    made = Linformer().mixer(Site(8, length=4))
    with pytest.raises(UsageError, match="end at 4"):
        made(torch.zeros(1, 5, 8))


@pytest.mark.parametrize("rounds", [1, 3])
def test_reformer_with_one_chunk_is_full_attention_to_others(rounds: int) -> None:
    made = Reformer(heads=2, chunk=LENGTH, rounds=rounds).mixer(Site(8, length=LENGTH)).double()
    assert isinstance(made, HashedAttention)
    x = torch.randn(2, LENGTH, 8, dtype=torch.float64)
    placed = x + made.positions(LENGTH)
    qk, v = split_heads(made.shared(placed), 2), split_heads(made.value(placed), 2)
    # no temperature: the key is a unit vector, and the query keeps its length
    score = qk @ functional.normalize(qk, dim=-1).mT
    weight = score.masked_fill(torch.eye(LENGTH, dtype=torch.bool), -torch.inf).softmax(-1)
    assert torch.allclose(made(x)[0], made.out(join_heads(weight @ v)), atol=1e-5)


@pytest.mark.parametrize(
    ("site", "expected"), [(Site(8, length=37), (6, 7)), (Site(8, length=64, grid=(4, 16)), (4, 16))]
)
def test_positions_of_reformer_count_rows_and_columns(site: Site, expected: tuple[int, int]) -> None:
    assert axes(site) == expected
    made = Reformer(heads=2).mixer(site).double()
    assert isinstance(made, HashedAttention)
    columns, found = expected[1], made.positions(2 * expected[1])
    assert torch.equal(found[:columns, :4], found[:1, :4].expand(columns, -1))
    assert torch.equal(found[:columns, 4:], found[columns:, 4:])
    assert not torch.equal(found[0, :4], found[columns, :4])


def test_reformer_beyond_its_training_length_is_an_error() -> None:
    made = Reformer(heads=2).mixer(Site(8, length=4))
    with pytest.raises(UsageError, match="5 tokens, but its positions end at 4"):
        made(torch.zeros(1, 5, 8))


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_first_sorted_chunk_of_reformer_sees_the_last(rounds: int) -> None:
    made = Reformer(heads=1, chunk=2, rounds=rounds).mixer(Site(8, length=6)).double()
    assert isinstance(made, HashedAttention)
    whole = torch.ones(2, 6, dtype=torch.bool)
    # of 6 tokens in chunks of 2, and of 3 (a chunk and a half) beside padding
    whole[1, 3:] = False
    before = [[2, 0, 1], [1, 0, 1]] if rounds == 1 else [[5, 0, 1, 2, 3, 4], [4, 0, 1, 1, 3, 4]]
    assert made._previous(rounds, 3, whole).tolist() == before


def test_a_lonely_token_of_reformer_attends_to_itself() -> None:
    made = Reformer(heads=2).mixer(Site(8)).double()
    assert isinstance(made, HashedAttention)
    x = torch.randn(1, 1, 8, dtype=torch.float64)
    assert torch.allclose(made(x)[0], made.out(made.value(x + made.positions(1))), atol=1e-12)


@pytest.mark.parametrize("model", [Reformer(), Linformer()])
def test_what_cannot_be_causal_says_so(model: Reformer | Linformer) -> None:
    with pytest.raises(UsageError, match="no causal form"):
        model.mixer(Site(8, length=4, causal=True))


def test_sorting_by_hashes_would_leak_under_a_causal_mask() -> None:
    """Why Reformer has no causal form here: a later token moves earlier ones to other chunks."""
    made = Reformer(heads=1, chunk=4, rounds=1).mixer(Site(8)).double()
    x = torch.randn(1, 40, 8, dtype=torch.float64)
    changed = x.clone()
    changed[:, 20:] = torch.randn(1, 20, 8, dtype=torch.float64)

    def neighbours(x: torch.Tensor) -> torch.Tensor:
        """For each of the first 20 tokens, which of the first 20 share its chunk."""
        assert isinstance(made, HashedAttention)
        projected = made.shared(x)[0] @ made.rotations[0, 0]
        order = torch.cat([projected, -projected], -1).argmax(-1).argsort(stable=True)
        chunk = order.argsort() // 4
        return (chunk[:, None] == chunk)[:20, :20]

    assert not torch.equal(neighbours(x), neighbours(changed))
