"""Does ProbSparse attention become full attention at its limit, and does its causal form keep the future out?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from harness.models.sequence._memory import join_heads, split_heads
from harness.models.sequence._mixer import Site
from harness.models.sequence.informer_encoder import CausalProbSparse, InformerEncoder, ProbSparse, budget
from harness.models.sequence.transformer import rotate


@pytest.mark.parametrize(("length", "expected"), [(1, 1), (2, 2), (20, 15), (96, 25), (1000, 35)])
def test_the_budget_is_five_times_the_rounded_logarithm(length: int, expected: int) -> None:
    assert int(budget(5, torch.tensor(length))) == expected


@pytest.mark.parametrize("causal", [False, True])
def test_a_factor_beyond_the_length_is_full_attention(causal: bool) -> None:
    made = InformerEncoder(heads=2, factor=20, causal=causal).mixer(Site(8)).double()
    assert isinstance(made, CausalProbSparse if causal else ProbSparse)
    x = torch.randn(2, 20, 8, dtype=torch.float64)
    k, v = (split_heads(part, 2) for part in made.pair(x).chunk(2, -1))
    q = split_heads(made.query(x), 2)
    full = functional.scaled_dot_product_attention(rotate(q, 0), rotate(k, 0), v, is_causal=causal)
    assert torch.allclose(made(x)[0], made.out(join_heads(full)), atol=1e-12)


def test_queries_that_are_not_chosen_answer_the_mean_of_the_values() -> None:
    made = InformerEncoder(heads=1, factor=1).mixer(Site(8)).double()
    assert isinstance(made, ProbSparse)
    x = torch.randn(1, 60, 8, dtype=torch.float64)
    lazy = made.out(made.pair(x)[..., 8:].mean(1))
    same = (made(x)[0] - lazy[:, None]).abs().amax(-1)[0] < 1e-12
    assert int(same.sum()) == 60 - 5  # ceil(ln 60) = 5 attend


def test_editing_the_future_changes_no_earlier_output_of_the_causal_form() -> None:
    made = InformerEncoder(heads=2, factor=1, causal=True).mixer(Site(8)).double()
    x = torch.randn(1, 60, 8, dtype=torch.float64)
    for cut in range(5, 60, 5):
        changed = x.clone()
        changed[:, cut:] = 3 * torch.randn(1, 60 - cut, 8, dtype=torch.float64)
        assert torch.allclose(made(x)[0][:, :cut], made(changed)[0][:, :cut], atol=1e-12)


def test_ranking_among_all_queries_as_published_would_leak() -> None:
    """The published selection under a causal mask: who is chosen early depends on queries and keys that come later."""
    changed_outputs = 0
    for trial in range(20):
        q = torch.randn(60, 4, generator=torch.Generator().manual_seed(trial))
        edited = q.clone()
        edited[30:] = 3 * torch.randn(30, 4, generator=torch.Generator().manual_seed(trial + 100))
        early = []
        for both in (q, edited):
            score = both @ both.T
            early.append(set((score.amax(1) - score.mean(1)).topk(20).indices.tolist()) & set(range(30)))
        changed_outputs += early[0] != early[1]
    assert changed_outputs >= 15


@pytest.mark.parametrize("factor", [1, 5])
def test_the_causal_form_by_steps_is_the_form_in_parallel(disagreement: Callable[..., float], factor: int) -> None:
    assert disagreement(InformerEncoder(heads=2, factor=factor, causal=True).mixer(Site(8)), 8) < 1e-10


@pytest.mark.parametrize("length", [1, 6, 7])
def test_distilling_halves_the_keys_and_padding_does_not_enter(length: int) -> None:
    made = InformerEncoder(heads=2).mixer(Site(8, 1, 2)).double()
    assert isinstance(made, ProbSparse)
    x = torch.randn(1, length, 8, dtype=torch.float64)
    memory, kept = made._distilled(x, torch.ones(1, length, dtype=torch.bool))
    assert memory.shape[1] == kept.shape[1] == (length + 1) // 2
    padded = functional.pad(x, (0, 0, 0, 5), value=9.0)
    mask = torch.arange(length + 5)[None] < length
    assert torch.allclose(made(padded, mask_BT=mask)[0][:, :length], made(x)[0], atol=1e-12)
