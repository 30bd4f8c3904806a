"""Do the encoder-decoders learn, decode, resume and keep their rows apart? On digits that become letters."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from digit_letters import SPECS, fit, fitted, spelled

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import SilentMeter
from harness.api.types import Example, Failure, Generate, Label, Prompt, Score, Turn, Want
from harness.models.seq2seq._int8 import dequantise, quantise, round_weights
from harness.models.seq2seq._recurrent import Recurrent, reversed_rows
from harness.models.seq2seq._stack import Stack, clipped_lstm
from harness.models.seq2seq._units import BEGIN, BytePairs, Characters, load

METER = SilentMeter()


def answers(model: Any, sources: list[str], decoder: str = "greedy") -> list[str]:
    requests = [Generate(source, 12) for source in sources]
    made = registry.create("decoder", decoder)
    found = model.generate(requests, decoder=made, seeds=[0] * len(requests), meter=METER)
    return [item.text for item in found]


def test_it_learns_to_respell_digits(name):
    examples = list(spelled(40, 3))
    said = answers(fitted(name), [item.requests[0].source for item in examples])
    right = sum(text == item.target for text, item in zip(said, examples, strict=True))
    # a guess of three letters is right once in 216
    assert right >= 30


def test_beam_of_one_is_greedy(name):
    sources = [item.requests[0].source for item in spelled(12, 4)]
    assert answers(fitted(name), sources, "beam:width=1") == answers(fitted(name), sources)


def test_company_and_order_change_no_answer(name):
    sources = ["1", "0123", "55", "", "4321", "1"]
    alone = [answers(fitted(name), [source], "beam:width=3")[0] for source in sources]
    together = answers(fitted(name), sources, "beam:width=3")
    assert together == alone
    assert answers(fitted(name), sources[::-1], "beam:width=3") == alone[::-1]


def test_stepping_agrees_with_teacher_forcing(name):
    model = fitted(name)
    source, target = model.units.encode("0123")[0], model.units.encode("abcd")[0]
    state = model.lm.start(1, 20)
    step = model.lm.step(state, [[*source, BEGIN, *target[:2]]], Want("all"))
    step2 = model.lm.step(step.state, [target[2:]], Want("all"))
    stepped = torch.cat([step.logits[0, len(source) :], step2.logits[0]])
    with torch.inference_mode():
        whole = model.network(torch.tensor([source]), torch.tensor([4]), torch.tensor([[BEGIN, *target]]))[0]
    seen = torch.isfinite(stepped)
    assert torch.allclose(stepped[seen], whole[seen], atol=1e-4)
    assert not step.logits[0, : len(source)].any()


def test_a_rewound_row_goes_on_as_if_nothing_had_been(name):
    model = fitted(name)
    source = [*model.units.encode("315")[0], BEGIN]
    letters = model.units.encode("dbf")[0]
    straight = model.lm.step(model.lm.start(1, 20), [[*source, *letters]]).logits
    wandered = model.lm.step(model.lm.start(1, 20), [[*source, letters[0], letters[0], letters[0]]]).state
    wandered = model.lm.rewind(wandered, [len(source) + 1])
    assert torch.allclose(model.lm.step(wandered, [letters[1:]]).logits, straight, atol=1e-4)


def test_a_row_may_be_refilled_with_another_source(name):
    model = fitted(name)
    first, second = ([*model.units.encode(text)[0], BEGIN] for text in ("315", "02"))
    state = model.lm.step(model.lm.start(2, 20), [first, second]).state
    state = model.lm.rewind(state, [0, len(second)])
    again = model.lm.step(state, [second, []]).logits
    fresh = model.lm.step(model.lm.start(1, 20), [second]).logits
    assert torch.allclose(again[0], fresh[0], atol=1e-5)


def test_selected_rows_repeat_their_source(name):
    model = fitted(name)
    rows = [[*model.units.encode(text)[0], BEGIN] for text in ("1", "0123")]
    step = model.lm.step(model.lm.start(2, 20), rows)
    state = model.lm.select(step.state, [1, 1, 0])
    assert model.lm.length(state) == [5, 5, 2]
    letter = model.units.encode("a")[0]
    found = model.lm.step(state, [letter] * 3).logits
    assert torch.allclose(found[0], found[1], atol=1e-5)
    assert not torch.allclose(found[0], found[2], atol=1e-2)


def test_a_state_is_used_once(name):
    model = fitted(name)
    state = model.lm.start(1, 5)
    model.lm.step(state, [[BEGIN]])
    with pytest.raises(Exception, match="used twice"):
        model.lm.step(state, [[BEGIN]])


@pytest.mark.parametrize("name", ["rnn_attention", "transformer", "gnmt"])
def test_attention_on_the_source_sums_to_one(name):
    model = fitted(name)
    assert model.lm.cross_attention
    rows = [[*model.units.encode(text)[0], BEGIN] for text in ("1", "0123")]
    step = model.lm.step(model.lm.start(2, 20), rows, Want("last", attention=(-1,)))
    weights_B1TS = step.attention[-1]
    assert weights_B1TS.shape == (2, 1, 5, 4)
    assert weights_B1TS[0, 0, 1].sum() == pytest.approx(1.0, abs=1e-5)
    assert weights_B1TS[1, 0, 4].sum() == pytest.approx(1.0, abs=1e-5)
    assert float(weights_B1TS[0, 0, 1, 1:].abs().sum()) == 0.0


def test_coverage_reaches_the_beam_of_an_attending_model_only():
    def score(name: str, decoder: str) -> float:
        made = registry.create("decoder", decoder)
        # one token attends to three digits with a weight of 1 in all, so that two of them are hardly covered
        (found,) = fitted(name).generate([Generate("012", 1)], decoder=made, seeds=[0], meter=METER)
        return found.extra["score"]

    assert score("rnn_attention", "beam:width=1,beta=5.0") < score("rnn_attention", "beam:width=1") - 5.0
    assert not fitted("sutskever").lm.cross_attention
    assert score("sutskever", "beam:width=1,beta=5.0") == score("sutskever", "beam:width=1")


def test_a_score_is_the_sum_of_the_steps_log_probabilities(name):
    model = fitted(name)
    (scored,) = model.score([Score("0123", "abcd")], meter=METER)
    state, total = model.lm.start(1, 20), 0.0
    fed = [*model.units.encode("0123")[0], BEGIN]
    for token in model.units.encode("abcd")[0]:
        step = model.lm.step(state, [fed])
        total += float(step.logits[0, -1].double().log_softmax(-1)[token])
        state, fed = step.state, [token]
    assert scored.total == pytest.approx(total, abs=1e-4)
    assert scored.spans == ((0, 1), (1, 2), (2, 3), (3, 4))


def test_what_cannot_be_read_is_a_failure_beside_good_answers():
    model = fitted("rnn_attention")
    requests = [Generate("12", 12), Generate((Turn("user", "12"),), 12), Generate(np.zeros((3, 2)), 12)]
    found = model.generate(requests, decoder=None, seeds=[0, 0, 0], meter=METER)
    assert found[0].text == answers(model, ["12"])[0]
    assert isinstance(found[1], Failure)
    assert isinstance(found[2], Failure)
    assert isinstance(model.score([Score("1", "")], meter=METER)[0], Failure)


def test_a_longer_source_is_cut_and_says_so():
    model = fit(SPECS["rnn_attention"] + ",source_tokens=3", 2)
    found = model.generate([Generate("01234", 12), Generate("012", 12)], decoder=None, seeds=[0, 0], meter=METER)
    assert found[0].extra["cut"] == 2.0
    assert found[0].text == found[1].text
    assert "cut" not in found[1].extra


def test_a_killed_fit_ends_in_the_weights_of_one_that_was_not(tmp_path):
    spec = SPECS["rnn_attention"]
    # a checkpoint is written every 200 steps
    whole = fit(spec, 210)
    learner = registry.create("model", spec)

    class KilledError(Exception):
        pass

    from harness.api.protocols import Setting
    from harness.api.types import Budget

    def stop(share: float, text: str) -> None:
        if share > 0.97:
            raise KilledError

    with pytest.raises(KilledError):
        learner.fit(
            lambda: spelled(600, 1),
            lambda: spelled(20, 2),
            seed=0,
            budget=Budget(steps=210),
            setting=Setting(None, folder=tmp_path, progress=stop),
            meter=METER,
        )
    assert (tmp_path / "checkpoint.safetensors").exists()
    resumed = fit(spec, 210, folder=tmp_path)
    for (key, left), right in zip(
        whole.network.state_dict().items(), resumed.network.state_dict().values(), strict=True
    ):
        assert torch.equal(left, right), key


def test_a_finished_fit_is_read_back_without_another_step(tmp_path):
    first = fit(SPECS["rnn_attention"], 5, folder=tmp_path)
    again = fit(SPECS["rnn_attention"], 5, folder=tmp_path)
    assert answers(first, ["0123", "5"]) == answers(again, ["0123", "5"])
    assert first.identity == again.identity


def test_other_examples_than_texts_are_refused():
    labelled = [Example("a", (Label(np.zeros(3), 2),), 1)]
    with pytest.raises(UsageError, match="no generation from a text"):
        fit(SPECS["rnn_attention"], 2, pairs=labelled)


def test_blank_sides_teach_nothing_and_nothing_else_is_an_error():
    blank = [Example("a", (Generate("1", 5),), " "), Example("b", (Generate("", 5),), "a")]
    with pytest.raises(UsageError, match="no training pair"):
        fit(SPECS["rnn_attention"], 2, pairs=blank)


def test_every_reference_is_a_training_pair():
    model = fit(SPECS["rnn_attention"], 1, pairs=[Example("a", (Generate("1", 5),), ["a", "b", ""])])
    assert model.identity["training_pairs"] == 2


def test_mixed_precision_is_named_and_half_precision_refused():
    assert fit(SPECS["rnn_attention"], 1, dtype="bfloat16").identity["training_dtype"] == "bfloat16"
    with pytest.raises(UsageError, match="float16"):
        fit(SPECS["rnn_attention"], 1, dtype="float16")


class TestUnits:
    TEXTS = ("", "a", "Zwei Männer.", "Fa\u0308hre", "日本 😀\n\ttab", "\x00 nul", "a  b ")

    @pytest.mark.parametrize("text", TEXTS)
    def test_every_text_comes_back(self, text):
        for units in (BytePairs.learn(["two men", "Zwei Männer"], 300), Characters.learn(["abc"], 300)):
            ids, spans = units.encode(text)
            assert units.decode(ids) == text
            assert len(ids) == len(spans)
            assert load(units.save()).encode(text) == (ids, spans)

    def test_normal_forms_are_different_units(self):
        units = BytePairs.learn(["F\u00e4hre"] * 3, 300)
        assert units.encode("F\u00e4hre")[0] != units.encode("Fa\u0308hre")[0]

    def test_a_lone_surrogate_becomes_a_question_mark(self):
        for units in (BytePairs.learn(["a"], 300), Characters.learn(["a"], 300)):
            assert units.decode(units.encode("a\ud800")[0]) == "a?"


class TestTheRecurrentNetwork:
    def test_reversal_keeps_padding_at_the_end(self):
        rows = torch.tensor([[1, 2, 3], [4, 5, 0]])
        assert reversed_rows(rows, torch.tensor([3, 2])).tolist() == [[3, 2, 1], [5, 4, 0]]

    def test_reading_backwards_is_reading_the_reversed_source(self):
        made = [registry.create("model", f"seq2seq/sutskever:width=8,reverse={flag}") for flag in ("true", "false")]
        torch.manual_seed(0)
        networks = [learner.network(20).eval() for learner in made]
        networks[1].load_state_dict(networks[0].state_dict())
        source, target = torch.tensor([[5, 6, 7]]), torch.tensor([[BEGIN, 8]])
        lengths = torch.tensor([3])
        assert torch.allclose(networks[0](source, lengths, target), networks[1](source.flip(1), lengths, target))

    @pytest.mark.parametrize("suffix", ["", "_reverse"])
    def test_a_cell_that_is_never_clipped_is_torchs_lstm(self, suffix):
        torch.manual_seed(0)
        layer = torch.nn.LSTM(5, 4, batch_first=True, bidirectional=True)
        x = torch.randn(3, 7, 5)
        wanted, (h, c) = layer(x)
        zero = torch.zeros(3, 4)
        out, last_h, last_c = clipped_lstm(layer, x, zero, zero, math.inf, suffix, torch.tensor([7, 7, 7]))
        side = 1 if suffix else 0
        assert torch.allclose(out, wanted[..., 4 * side : 4 * side + 4], atol=1e-6)
        assert torch.allclose(last_h, h[side], atol=1e-6)
        assert torch.allclose(last_c, c[side], atol=1e-6)

    def test_a_stack_that_never_clips_is_the_stack_without_a_clip_padding_included(self):
        torch.manual_seed(0)
        stack = Stack("lstm", 6, 8, 3, 0.0, bidirectional=True, residual=True).eval()
        x, lengths = torch.randn(2, 5, 6), torch.tensor([5, 3])
        wanted, last = stack(x, lengths=lengths)
        stack.clip = 1e9
        found, clipped = stack(x, lengths=lengths)
        mask = (torch.arange(5)[None] < lengths[:, None])[..., None]
        assert torch.allclose(found * mask, wanted * mask, atol=1e-6)
        # the last layer's state is of the row's own last token
        assert torch.allclose(last[-1][1], clipped[-1][1], atol=1e-6)

    def test_a_clipped_cell_stays_within_its_bound(self):
        torch.manual_seed(0)
        stack = Stack("lstm", 6, 8, 2, 0.0)
        stack.clip = 0.05
        with torch.no_grad():
            out, last = stack(50 * torch.randn(2, 9, 6))
        assert all(float(part.abs().max()) <= 0.05 + 1e-7 for part in (out, last[1], last[3]))

    def test_a_residual_layer_of_zero_weights_is_the_identity(self):
        stack = Stack("lstm", 4, 4, 3, 0.0, residual=True)
        with torch.no_grad():
            for parameter in stack.layers[2].parameters():
                parameter.zero_()
        x = torch.randn(1, 6, 4)
        two = Stack("lstm", 4, 4, 2, 0.0)
        two.load_state_dict({key: value for key, value in stack.state_dict().items() if not key.startswith("layers.2")})
        assert torch.equal(stack(x)[0], two(x)[0])

    def test_the_clip_falls_from_its_start_to_its_end(self):
        learner = registry.create("model", "seq2seq/gnmt:width=8,clip=true")
        network = learner.network(20)
        limits = []
        for share in (0.0, 0.5, 1.0):
            learner.anneal(network, share)
            limits.append(network.limit)
        assert limits == [8.0, 4.5, 1.0]
        off = registry.create("model", "seq2seq/gnmt:width=8")
        off.anneal(network, 1.0)
        assert network.limit == math.inf


class TestEightBits:
    def test_rounding_moves_no_weight_by_more_than_half_a_step(self):
        weight = torch.randn(7, 33, generator=torch.Generator().manual_seed(0))
        steps, scale = quantise(weight)
        assert steps.dtype == torch.int8
        assert bool(((dequantise(steps, scale) - weight).abs() <= scale[:, None] / 254 + 1e-7).all())

    def test_a_row_of_zeros_stays_zero(self):
        steps, scale = quantise(torch.zeros(2, 3))
        assert not dequantise(steps, scale).any()

    def test_a_trained_model_says_almost_the_same_in_eight_bits(self):
        whole = fitted("gnmt")
        rounded = copy.deepcopy(whole.network)
        assert round_weights(rounded) > 0.0
        sources = [item.requests[0].source for item in spelled(60, 5)]
        same = total = 0
        for source in sources:
            ids, length = torch.tensor([whole.units.encode(source)[0]]), torch.tensor([len(source)])
            target = torch.tensor([[BEGIN, *whole.units.encode("abcd")[0]]])
            with torch.inference_mode():
                left, right = (network(ids, length, target) for network in (whole.network, rounded))
            same, total = same + int((left.argmax(-1) == right.argmax(-1)).sum()), total + target.shape[1]
        assert same / total > 0.97

    def test_the_learner_rounds_what_it_has_learnt(self):
        model = fit(SPECS["gnmt"] + ",int8=true", 1)
        assert 0.0 < model.identity["largest_rounding"] < 0.01
        for parameter in model.network.parameters():
            if parameter.ndim == 2:
                assert torch.allclose(dequantise(*quantise(parameter)), parameter, atol=1e-7)


def test_the_residual_and_bidirectional_parts_are_gnmts():
    network = registry.create("model", "seq2seq/gnmt:width=8").network(20)
    assert isinstance(network, Recurrent)
    assert network.encoder.layers[0].bidirectional
    assert network.encoder.residual
    assert network.upper.below == 1


def test_the_keyboards_messages_can_be_learnt_by_characters():
    task = registry.create("task", "keyboard/correction")
    pairs = list(task.examples("train", 0, None))[:40]
    model = fit("seq2seq/rnn_attention:width=16,depth=1,units=char", 2, pairs=pairs)
    (answer,) = model.generate([pairs[0].requests[0]], decoder=None, seeds=[0], meter=METER)
    assert len(answer.tokens) <= pairs[0].requests[0].max_new_tokens
    assert model.lm.eos == frozenset({2})


def test_a_prompt_without_room_is_answered_with_nothing():
    model = fitted("rnn_attention")
    (found,) = registry.create("decoder", "greedy").decode(model.lm, [Prompt((BEGIN,), 0)], seeds=[0], meter=METER)
    assert found.tokens == ()
