"""Does BigBird see its window, its anchors and its random keys, and only those?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from harness.models.sequence._mixer import Site
from harness.models.sequence.bigbird import BigBird, MaskedAttention


def layer(window: int, anchors: int, random: int) -> MaskedAttention:
    made = BigBird(heads=2, window=window, anchors=anchors, random=random).mixer(Site(8))
    assert isinstance(made, MaskedAttention)
    return made


def test_a_window_of_one_and_nothing_else_sees_itself() -> None:
    assert torch.equal(layer(1, 0, 0).visible(9, 9), torch.eye(9, dtype=torch.bool).expand(2, -1, -1))


def test_a_window_as_long_as_the_sequence_sees_everything_before() -> None:
    assert torch.equal(layer(9, 0, 0).visible(9, 9), torch.ones(2, 9, 9, dtype=torch.bool).tril())


def test_anchors_are_seen_by_all_and_random_keys_are_at_most_as_many_as_asked() -> None:
    plain, drawn = layer(2, 2, 0).visible(200, 200), layer(2, 2, 3).visible(200, 200)
    assert bool(plain[:, 2:, :2].all())
    extra = (drawn & ~plain).sum(2)
    assert int(extra.max()) == 3
    assert float(extra[:, 50:].double().mean()) > 2.5


def test_each_head_draws_keys_of_its_own() -> None:
    first, second = layer(1, 0, 3).visible(400, 400)[:, 200:]
    # of 3 keys out of 200 and more, two heads share one a token at most by chance
    assert float((first & second).sum(1).double().mean()) < 1.2
    assert not torch.equal(first, second)


@pytest.mark.parametrize("sight", [(1, 0, 0), (4, 1, 2), (40, 2, 3)])
def test_steps_are_the_parallel_form(disagreement: Callable[..., float], sight: tuple[int, int, int]) -> None:
    assert disagreement(layer(*sight), 8) < 1e-12
