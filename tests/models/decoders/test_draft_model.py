"""Does a draft's cache hold what a fresh reading of the text would, and is it read once?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from harness.api.protocols import SilentMeter
from harness.api.types import Step, Want
from harness.models.decoders._draft_model import DraftCache, OnlineNgram
from harness.models.decoders._likeliest import candidates, likeliest
from harness.models.decoders._tree import Tree
from harness.models.lms._tabular import TabularModel, TabularState

METER = SilentMeter()
TARGET = TabularModel(9, 1, seed=0)


def recounted(text: Sequence[int], context: Sequence[int], order: int) -> torch.Tensor:
    """Stupid back-off from all n-grams of `text`, counted anew."""
    row = torch.full((TARGET.vocabulary,), -30.0)
    for size in range(1, min(order - 1, len(context)) + 1):
        followers = [
            text[end] for end in range(size, len(text)) if tuple(text[end - size : end]) == tuple(context[-size:])
        ]
        for token in set(followers):
            row[token] = math.log(followers.count(token) / len(followers) * 0.4 ** (order - 1 - size))
    return row


@pytest.mark.parametrize("order", [2, 3, 5])
def test_counts_that_grow_and_shrink_with_the_text_are_those_of_a_fresh_count(order: int) -> None:
    rng = np.random.default_rng(order)
    model = OnlineNgram(TARGET, order)
    state, text = model.start(1, 99), []
    for _ in range(60):
        kept = int(rng.integers(0, len(text) + 1)) if rng.random() < 0.3 else len(text)
        new = rng.integers(0, 4, int(rng.integers(1, 5))).tolist()
        text = [*text[:kept], *new]
        step = model.step(model.rewind(state, [kept]), [new])
        state = step.state
        assert model.length(state) == [len(text)]
        torch.testing.assert_close(step.logits[0, 0], recounted(text, text, order))


def test_the_nodes_of_a_tree_share_the_counts_up_to_its_root() -> None:
    model, text = OnlineNgram(TARGET, 3), [1, 2, 3, 1, 2, 4, 1]
    state = model.step(model.start(1, 99), [text[:-1]], Want("none")).state
    step = model.step(state, [[1, 2, 3, 4]], Want("all"), [[-1, 0, 1, 1]])
    for node, path in enumerate([[1], [1, 2], [1, 2, 3], [1, 2, 4]]):
        torch.testing.assert_close(step.logits[0, node], recounted(text, [*text[:-1], *path], 3))


class Counted(TabularModel):
    """Notes how many tokens each call read."""

    read: list[int]

    def step(
        self,
        state: TabularState,
        tokens: Sequence[Sequence[int]],
        want: Want = Want(),  # noqa: B008
        parents: Sequence[Sequence[int]] | None = None,
    ) -> Step:
        self.read.append(len(tokens[0]))
        return super().step(state, tokens, want, parents)


def test_a_chain_reads_each_token_once_and_only_what_was_refused_again() -> None:
    model = Counted(9, 2, seed=1)
    model.read = []
    cache = DraftCache(model, 64)
    tree = Tree.rooted(4)
    for token in (5, 6, 7):
        found = cache.logits([1, 2, 3, 4], tree, [tree.drafted], METER)
        text = [1, 2, 3, *tree.tokens]
        np.testing.assert_allclose(found[0].numpy(), model.logits(text), rtol=1e-6)
        tree.add_chain([token], below=tree.drafted)
    assert model.read == [4, 1, 1]
    # the target kept 5 and put 8 in the place of 6: both of them are read, and nothing else
    cache.logits([1, 2, 3, 4, 5, 8], Tree.rooted(8), [0], METER)
    assert model.read == [4, 1, 1, 1]


@pytest.mark.parametrize("vocabulary", [5, 64, 512, 1000, 1024])
def test_candidates_are_the_best_tokens_in_order(vocabulary: int) -> None:
    logits = torch.randn(7, vocabulary, generator=torch.Generator().manual_seed(vocabulary))
    assert torch.equal(candidates(logits, 8), logits.topk(min(8, vocabulary), -1).indices)
    assert likeliest(logits) == logits.argmax(-1).tolist()


def test_of_equal_logits_the_smallest_id_is_likeliest() -> None:
    assert likeliest(torch.tensor([[0.0, 2.0, 2.0], [1.0, 1.0, 1.0]])) == [1, 0]
