"""Do MEGA and TCNCA average, convolve and attend as their equations say?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from harness.models.sequence import _diagonal as diagonal
from harness.models.sequence._gated_chunks import within_chunks
from harness.models.sequence._mixer import Site
from harness.models.sequence.mega import Mega, MovingAverageAttention
from harness.models.sequence.tcnca import TCNCA, ConvolvedChunkAttention


def test_a_chunk_as_long_as_the_sequence_is_full_causal_attention() -> None:
    q, k, v = torch.randn(3, 2, 9, 4, dtype=torch.float64).unbind(0)
    full = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    for chunk in (9, 16):
        assert torch.allclose(within_chunks(q, k, v, torch.zeros(chunk).double()), full, atol=1e-12)


def test_nothing_crosses_the_border_of_a_chunk() -> None:
    q, k, v = torch.randn(3, 1, 8, 4, dtype=torch.float64).unbind(0)
    halves = within_chunks(q, k, v, torch.zeros(4).double())
    alone = within_chunks(q[:, 4:], k[:, 4:], v[:, 4:], torch.zeros(4).double())
    assert torch.equal(halves[:, 4:], alone)


def test_chunks_of_one_return_the_values() -> None:
    q, k, v = torch.randn(3, 1, 5, 4, dtype=torch.float64).unbind(0)
    assert torch.allclose(within_chunks(q, k, v, torch.zeros(1).double()), v, atol=1e-15)


@pytest.mark.parametrize("chunk", [1, 5, 23, 64])
def test_mega_by_steps_is_mega_by_fft(disagreement: Callable[..., float], chunk: int) -> None:
    assert disagreement(Mega(averages=4, chunk=chunk).mixer(Site(6)), 6) < 1e-10


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_tcnca_by_steps_is_tcnca_by_convolution(disagreement: Callable[..., float], chunk: int) -> None:
    assert disagreement(TCNCA(taps=3, base=2, chunk=chunk).mixer(Site(6)), 6) < 1e-10


def test_the_average_is_the_damped_recurrence_of_the_paper() -> None:
    made = Mega(averages=3).mixer(Site(2)).double()
    assert isinstance(made, MovingAverageAttention)
    p, alpha = torch.sigmoid(made.delta), torch.sigmoid(made.alpha)
    held, x, outputs = torch.zeros(2, 3, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64), []
    for row in x:
        held = (1 - p * alpha) * held + p * made.beta * row[:, None]
        outputs.append((made.gamma * held).sum(-1) / 3**0.5 + made.omega * row)
    from_steps = torch.stack(outputs)
    found, _ = diagonal.run(made.averages(), x.T[None].contiguous(), None, hand_on=False)
    assert torch.allclose(found[0].T, from_steps, atol=1e-12)


def test_the_average_carries_what_attention_forgets() -> None:
    made = Mega(averages=4, chunk=4).mixer(Site(6)).double()
    x = torch.randn(1, 12, 6, dtype=torch.float64)
    changed = x.clone()
    changed[:, 0] += 1
    assert float((made(x)[0] - made(changed)[0])[:, 11].abs().max()) > 1e-6


def test_tcnca_reaches_497_steps_by_default() -> None:
    made = TCNCA().mixer(Site(4))
    assert isinstance(made, ConvolvedChunkAttention)
    assert made.stack.receptive_field == 1 + 16 * (1 + 5 + 25) == 497
    x = torch.zeros(2, 500, 4)
    x[1, 0] = 1
    silence, impulse = made.stack(x, made.start(2, x.device, x.dtype))[0]
    heard = (impulse - silence).abs().sum(-1).nonzero()
    assert int(heard.max()) == 496


@pytest.mark.parametrize(("taps", "levels", "base"), [(1, 1, 2), (2, 1, 3), (3, 3, 2), (4, 2, 5)])
def test_tcnca_reaches_exactly_as_far_as_its_formula_says(taps: int, levels: int, base: int) -> None:
    made = TCNCA(taps=taps, levels=levels, base=base).mixer(Site(4)).double()
    assert isinstance(made, ConvolvedChunkAttention)
    reach = 1 + (taps - 1) * sum(base**level for level in range(levels))
    assert made.stack.receptive_field == reach
    x = torch.randn(1, reach + 3, 4, dtype=torch.float64)
    before = made.stack(x, made.start(1, x.device, x.dtype))[0][0, -1]
    heard = []
    for place in range(len(x[0])):
        edited = x.clone()
        edited[0, place] += 1
        heard.append(not torch.equal(made.stack(edited, made.start(1, x.device, x.dtype))[0][0, -1], before))
    assert heard.index(True) == 3
    assert heard[-1]
