"""Do Ettin's encoder and decoder differ in what a position sees, and in nothing else?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from harness.models.sequence._backbone import Backbone, Shape
from harness.models.sequence._mixer import Site
from harness.models.sequence.ettin import Ettin


def stack(causal: bool) -> Backbone:
    made = Ettin(heads=2, window=6, causal=causal)
    shape = Shape(8, 4, 5, vocabulary=7, per_position=True)
    return Backbone(shape, lambda layer: made.mixer(Site(8, layer, 4))).double()


def heard(network: Backbone, position: int, length: int = 16) -> set[int]:
    """Which inputs change the output at `position`."""
    tokens = torch.randint(0, 7, (1, length))
    before, found = network(tokens)[0][0, position], set()
    for place in range(length):
        edited = tokens.clone()
        edited[0, place] = (edited[0, place] + 1) % 7
        if not torch.equal(network(edited)[0][0, position], before):
            found.add(place)
    return found


def test_the_mask_flag_alone_changes_what_a_position_sees() -> None:
    encoder, decoder = stack(False), stack(True)
    decoder.load_state_dict(encoder.state_dict())
    assert heard(encoder, 9) == set(range(16))
    assert heard(decoder, 9) == set(range(10))


def test_both_have_the_same_parameters_in_the_same_order() -> None:
    shapes = [[(name, item.shape) for name, item in stack(causal).named_parameters()] for causal in (False, True)]
    assert shapes[0] == shapes[1]


def test_the_last_position_of_a_full_layer_answers_alike_under_both_masks() -> None:
    encoder, decoder = (Ettin(heads=2, causal=causal).mixer(Site(8)).double() for causal in (False, True))
    decoder.load_state_dict(encoder.state_dict())
    x = torch.randn(1, 9, 8, dtype=torch.float64)
    assert torch.allclose(encoder(x)[0][:, -1], decoder(x)[0][:, -1], atol=1e-12)


@pytest.mark.parametrize("layer", [0, 1])
def test_each_layer_by_steps_is_the_layer_in_parallel(disagreement: Callable[..., float], layer: int) -> None:
    made = Ettin(heads=2, window=6).mixer(Site(8, layer, 4))
    if layer == 0:
        assert made.streaming == "linear"
    assert disagreement(made, 8) < 1e-12
