"""Do Ettin's encoder and decoder differ in what a position sees, and in nothing else?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from harness.models.sequence._backbone import Backbone, Shape
from harness.models.sequence._mixer import Site
from harness.models.sequence._objectives import hidden_outputs, hidden_token, hide, next_token
from harness.models.sequence.ettin import Ettin

MASK = 6


def stack(causal: bool, like: Backbone | None = None) -> Backbone:
    shape = Shape(8, 4, 7, vocabulary=7, per_position=True)
    return Ettin(heads=2, window=6, causal=causal).stack(shape, like).double()


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
    encoder = stack(False)
    decoder = stack(True, encoder)
    assert heard(encoder, 9) == set(range(16))
    assert heard(decoder, 9) == set(range(10))


def test_both_have_the_same_parameters_in_the_same_order() -> None:
    shapes = [[(name, item.shape) for name, item in stack(causal).named_parameters()] for causal in (False, True)]
    assert shapes[0] == shapes[1]


def test_weights_go_from_one_to_the_other_and_back_without_change() -> None:
    decoder = stack(True)
    back = stack(True, stack(False, decoder))
    tokens = torch.randint(0, 7, (2, 16))
    assert torch.equal(back(tokens)[0], decoder(tokens)[0])
    assert not torch.allclose(stack(False, decoder)(tokens)[0], decoder(tokens)[0])


def test_the_loss_of_the_next_token_is_that_of_each_prefix() -> None:
    decoder, tokens = stack(True), torch.randint(0, 7, (1, 9))
    found, count = next_token(decoder, tokens)
    laws = [torch.log_softmax(decoder(tokens[:, :end])[0][0, -1], -1)[tokens[0, end]] for end in range(1, 9)]
    assert count == 8
    assert torch.allclose(found, -torch.stack(laws).mean(), atol=1e-12)


@pytest.mark.parametrize("ahead", [False, True])
def test_the_loss_of_hidden_tokens_reads_none_of_them(ahead: bool) -> None:
    encoder, tokens = stack(False), torch.randint(0, 6, (2, 12))
    hidden = torch.zeros(2, 12, dtype=torch.bool)
    hidden[:, [3, 7]] = True
    found, count = hidden_token(encoder, tokens, hidden, MASK, ahead)
    shown = tokens.clone()
    shown[:, [3, 7]] = MASK
    place = torch.tensor([3, 7]) - int(ahead)
    laws = torch.log_softmax(encoder(shown)[0], -1)[:, place].gather(-1, tokens[:, [3, 7], None])
    assert count == 4
    assert torch.allclose(found, -laws.mean(), atol=1e-12)
    other = tokens.clone()
    other[:, 3] = (other[:, 3] + 1) % 6
    left, right = (hidden_outputs(encoder, part, hidden, MASK, ahead)[0] for part in (tokens, other))
    assert torch.equal(left, right)


def test_a_first_token_that_is_named_ahead_is_not_graded() -> None:
    hidden = torch.zeros(1, 12, dtype=torch.bool)
    hidden[0, 0] = True
    assert hidden_token(stack(False), torch.zeros(1, 12, dtype=torch.long), hidden, MASK, ahead=True)[1] == 0


def test_the_asked_share_of_tokens_is_hidden_and_the_same_again_by_seed() -> None:
    tokens = torch.zeros(100, 100, dtype=torch.long)
    draws = [hide(tokens, 0.3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert float(draws[0].double().mean()) == pytest.approx(0.3, abs=0.015)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not hide(tokens, 0.0).any()


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
