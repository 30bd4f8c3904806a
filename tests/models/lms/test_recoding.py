"""Does recoding correct a state as its equation says, leave step 0 alone, and keep rows apart?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest
import torch

from harness import sources
from harness.api.errors import UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget, Example, Failure, Score, Scored
from harness.models.lms._closed_words import END, RARE, ClosedWords, split
from harness.models.lms._correction import Corrector, Signal, StepSizes, Stride
from harness.models.lms._word_lstm import Layers, WordLSTM
from harness.models.lms.recoding import Recoding, RecodingModel

SIGNALS: list[Signal] = ["surprisal", "published", "dropout", "ensemble"]
LINES = ["the cat sat on the mat\n", "a dog ran\n", "the dog sat\n", "a cat ran on the mat\n"] * 8


def stack(decoders: int = 1, depth: int = 2) -> WordLSTM:
    torch.manual_seed(0)
    network = WordLSTM(9, 6, depth, 0.2, decoders).double().eval()
    with torch.no_grad():
        network.weight.normal_()
    return network


def corrector(signal: Signal, step: float, depth: int = 2) -> Corrector:
    network = stack(4 if signal == "ensemble" else 1, depth)
    return Corrector(network, signal, StepSizes("fixed", step, 6, depth), samples=5)


def words(rows: int = 3, length: int = 12) -> torch.Tensor:
    return torch.randint(0, 9, (rows, length), generator=torch.Generator().manual_seed(1))


def fitted(model: Recoding, lines: Sequence[str] = LINES) -> RecodingModel:
    def stream() -> Iterator[Example]:
        for place, line in enumerate(lines):
            yield Example(str(place), (Score("", line),), None)

    setting = Setting(sources.from_environment(print))
    return model.fit(stream, lambda: iter(()), seed=0, budget=Budget(steps=30), setting=setting, meter=SilentMeter())


def small(**choices: Any) -> Recoding:
    return Recoding(**({"width": 8, "window": 6, "batch": 4, "samples": 3, "words": 20} | choices))


def test_the_parallel_form_is_the_loop_of_steps() -> None:
    network, rows = stack(3), words()
    state, laws = network.start(len(rows)), []
    for word in rows.T:
        state = network.step(word, state)
        laws.append(network.law(state.hidden[-1]))
    mean = network(rows).logsumexp(0) - log(3)
    assert torch.allclose(torch.stack(laws, 1), mean, atol=1e-12)
    assert torch.allclose(mean.exp().sum(-1), torch.ones(3, 12, dtype=torch.float64))


def test_one_layer_is_torchs_lstm() -> None:
    network, rows = stack(depth=1), words()
    own: Any = network.cells[0]
    layer = torch.nn.LSTM(6, 6, batch_first=True).double()
    with torch.no_grad():
        layer.weight_ih_l0.copy_(own.project.flatten(0, 2))
        layer.weight_hh_l0.copy_(own.recurrent.flatten(0, 2))
        layer.bias_ih_l0.copy_(own.bias.flatten())
        layer.bias_hh_l0.zero_()
    expected = torch.log_softmax(layer(network.embed(rows))[0] @ network.weight[0].T + network.bias[0], -1)
    assert torch.allclose(network(rows)[0], expected, atol=1e-12)


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_step_of_zero_is_the_baseline_bit_for_bit(signal: Signal) -> None:
    made, rows = corrector(signal, 0.0), words()
    plain, held = made.network.start(3), made.network.start(3)
    for place in range(11):
        found = made.step(rows[:, place], held, rows[:, place + 1], place)
        held = Layers.of([item.detach() for item in found.state.tensors()])
        plain = made.network.step(rows[:, place], plain)
        assert all(torch.equal(a, b) for a, b in zip(held.tensors(), plain.tensors(), strict=True))
        assert torch.equal(found.law_BV, made.network.law(plain.hidden[-1]))


@pytest.mark.parametrize("signal", SIGNALS)
def test_small_steps_lower_the_signal_by_the_squared_gradient(signal: Signal) -> None:
    made, rows = corrector(signal, 1e-6), words()
    state = made.network.start(3)
    for place in range(11):
        found = made.step(rows[:, place], state, rows[:, place + 1], place)
        assert bool((found.after_B < found.before_B).all())
        state = Layers.of([item.detach() for item in found.state.tensors()])
        top = made.network.step(rows[:, place], state).hidden[-1]
        assert top.shape == (3, 6)
        # the law reads the top layer's hidden state alone, so its squared slope is the whole first-order fall
        plain = Corrector(made.network, signal, StepSizes("fixed", 1.0, 6, 2), 5)
        moved = plain.step(rows[:, place], state, rows[:, place + 1], place)
        still = replace(plain, sizes=StepSizes("fixed", 0.0, 6, 2)).step(
            rows[:, place], state, rows[:, place + 1], place
        )
        slope_BD = still.state.hidden[-1] - moved.state.hidden[-1]
        small = replace(plain, sizes=made.sizes).step(rows[:, place], state, rows[:, place + 1], place)
        fall = (small.before_B - small.after_B) / 1e-6
        assert torch.allclose(fall, slope_BD.square().sum(1), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("kind", ["hidden", "cell"])
def test_every_state_moves_against_the_slope_found_by_differences(layer: int, kind: str) -> None:
    made, rows, size = corrector("surprisal", 1.0), words(1), 1e-6
    start = made.network.start(1)
    found = made.step(rows[:, 0], start, rows[:, 1], 0)
    plain = made.network.step(rows[:, 0], start)
    slope_D = (getattr(plain, kind)[layer] - getattr(found.state, kind)[layer])[0]

    def surprisal(shift_D: torch.Tensor) -> float:
        """The same step, in which one state is shifted as soon as it is made."""
        x_BD, zero = made.network.embed(rows[:, 0]), torch.zeros(1, 6, dtype=torch.float64)
        for place, cell in enumerate(made.network.cells):
            own: Any = cell
            gates = x_BD @ own.project.flatten(0, 2).T + own.bias.flatten()
            enter, _, value, leave = gates.chunk(4, -1)
            c_BD = torch.sigmoid(enter) * torch.tanh(value) + (shift_D if (place, kind) == (layer, "cell") else zero)
            x_BD = torch.sigmoid(leave) * torch.tanh(c_BD) + (shift_D if (place, kind) == (layer, "hidden") else zero)
        return -float(made.network.law(x_BD)[0, rows[0, 1]].detach())

    steps = torch.eye(6, dtype=torch.float64) * size
    differences = [(surprisal(step) - surprisal(-step)) / (2 * size) for step in steps]
    assert slope_D.detach().numpy() == pytest.approx(np.array(differences), abs=1e-7)


def test_descent_on_the_published_signal_lowers_the_probability_of_an_improbable_word() -> None:
    made, state = corrector("published", 1e-3), stack().start(1)
    for word in range(9):
        found = made.step(torch.tensor([2]), state, torch.tensor([word]), 0)
        before = float(found.law_BV[0, word].detach())
        after = float(made.network.law(found.state.hidden[-1])[0, word].detach())
        assert (after > before) == (before > -1.0)


@pytest.mark.parametrize("signal", ["surprisal", "published"])
def test_a_signal_that_knows_the_word_never_chooses_its_law(signal: Signal) -> None:
    made, state = corrector(signal, 5.0), stack().start(1)
    laws = [made.step(torch.tensor([2]), state, torch.tensor([word]), 0).law_BV for word in (3, 4)]
    assert torch.equal(laws[0], laws[1])


@pytest.mark.parametrize("signal", ["dropout", "ensemble"])
def test_an_entropy_does_not_know_the_next_word(signal: Signal) -> None:
    made, state = corrector(signal, 0.5), stack().start(1)
    found = [made.step(torch.tensor([2]), state, torch.tensor([word]), 0) for word in (3, 4)]
    assert torch.equal(found[0].law_BV, found[1].law_BV)
    assert not torch.equal(found[0].law_BV, made.network.law(made.network.step(torch.tensor([2]), state).hidden[-1]))


@pytest.mark.parametrize("signal", SIGNALS)
def test_rows_are_corrected_apart(signal: Signal) -> None:
    made, rows = corrector(signal, 0.3), words()
    together = made.step(rows[:, 0], made.network.start(3), rows[:, 1], 0)
    alone = made.step(rows[:1, 0], made.network.start(1), rows[:1, 1], 0)
    for left, right in zip(together.state.tensors(), alone.state.tensors(), strict=True):
        assert torch.allclose(left[:1], right, atol=1e-14)


@pytest.mark.parametrize("stride", ["learned", "predicted"])
def test_step_sizes_start_where_they_are_told_and_are_what_is_learned(stride: Stride) -> None:
    sizes = StepSizes(stride, 0.3, 8, 1)
    found = sizes(Layers((torch.randn(2, 8),), (torch.randn(2, 8),)))
    assert all(torch.allclose(item, torch.tensor(0.3)) for item in found)
    model = small(stride=stride, stride_steps=3, step=0.3)
    trained, plain = fitted(model), fitted(small(step=0.3))
    assert all(torch.equal(a, b) for a, b in zip(trained.network.parameters(), plain.network.parameters(), strict=True))
    moved = trained.corrector.sizes(Layers((torch.randn(2, 8),), (torch.randn(2, 8),)))
    assert not torch.allclose(moved[0], torch.tensor(0.3))
    assert all(bool((item > 0).all()) for item in moved)


def test_testing_leaves_no_gradient_in_the_weights() -> None:
    made = fitted(small())
    for item in made.network.parameters():
        item.grad = None
    made.score([Score("", "the cat sat\n")], meter=SilentMeter())
    assert all(item.grad is None for item in made.network.parameters())


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_batch_answers_as_its_texts_alone(signal: Signal) -> None:
    made = fitted(small(signal=signal, step=0.5))
    asked = [Score("", line) for line in ("a dog ran on the mat\nthe cat sat\n", "the cat\n", "a dog\n")]
    together = made.score(asked, meter=SilentMeter())
    for request, found in zip(asked, together, strict=True):
        (alone,) = made.score([request], meter=SilentMeter())
        assert isinstance(found, Scored)
        assert isinstance(alone, Scored)
        assert found.logprobs == pytest.approx(alone.logprobs, abs=1e-5)


def test_step_zero_scores_as_the_trained_network_whatever_the_signal() -> None:
    made = fitted(small(step=0.0))
    texts = [["a", "dog", "ran", "\n"]]
    plain = made.read(texts)[0].logprobs
    other = small(signal="dropout", step=0.0).recoded(made)
    assert (other.read(texts)[0].logprobs == plain).all()
    assert (small(step=0.5).recoded(made).read(texts)[0].logprobs != plain).any()


def test_every_character_of_a_text_is_covered_once_and_a_context_counts_as_read() -> None:
    made = fitted(small())
    whole, rest = made.score([Score("", "the cat sat\n"), Score("the cat", " sat\n")], meter=SilentMeter())
    assert isinstance(whole, Scored)
    assert isinstance(rest, Scored)
    assert whole.spans == ((0, 3), (3, 7), (7, 11), (11, 12))
    assert rest.spans == ((0, 4), (4, 5))
    assert rest.logprobs == pytest.approx(whole.logprobs[2:], abs=1e-6)


def test_an_empty_text_and_an_unknown_word_are_failures() -> None:
    found = fitted(small()).score([Score("", ""), Score("", "the walrus\n")], meter=SilentMeter())
    assert all(isinstance(item, Failure) for item in found)
    assert "walrus" in str(found[1])


def test_rare_words_share_one_symbol_by_their_counts() -> None:
    known = ClosedWords.of(["a a a b b c\n", "a d c c\n"], 2)
    assert known.frequent == ("a", "c")
    assert known.encode(["a", "\n", "b", "d"]) == ([2, END, RARE, RARE], [0.0, 0.0, log(2 / 3), log(1 / 3)])
    assert [word for word, _ in split(" a  b\n\nc")] == ["a", "b", "\n", "\n", "c"]


@pytest.mark.parametrize(
    "model", [{"step": -1.0}, {"samples": 0}, {"stride": "learned", "step": 0.0}], ids=["negative", "none", "learned"]
)
def test_senseless_choices_are_refused(model: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Recoding(**model)
