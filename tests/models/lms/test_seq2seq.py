"""Encoder-decoder models: equal to transformers' own generate and loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from harness.api.errors import DataError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Failure, Generate, Generated, Score, Scored
from harness.models.lms.seq2seq import EncoderDecoder, Seq2seq
from harness.sources import DataSources

METER = SilentMeter()
SETTING = Setting(DataSources(None, online=False))

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module", params=["bart", "t5"])
def place(request: pytest.FixtureRequest, checkpoint: Callable[..., Path]) -> Path:
    return checkpoint(str(request.param), adds_eos=True)


@pytest.fixture(scope="module")
def model(place: Path) -> EncoderDecoder:
    return Seq2seq(path=str(place)).load(SETTING)


def test_greedy_tokens_equal_those_of_generate(place: Path, model: EncoderDecoder) -> None:
    texts = ["The cat sat", "", "Numbers 12, 345"]
    answers = model.generate([Generate(text, 10) for text in texts], decoder=None, seeds=[0] * 3, meter=METER)
    network, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    for text, answer in zip(texts, answers, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        made = network.generate(input_ids=ids, max_new_tokens=10, do_sample=False)[0, 1:].tolist()
        assert isinstance(answer, Generated), answer
        assert list(answer.tokens) == (made[: made.index(1)] if 1 in made else made)
        assert answer.calls == len(answer.tokens) + (answer.finished == "eos")


def test_scores_equal_the_networks_own_loss(place: Path, model: EncoderDecoder) -> None:
    (answer,) = model.score([Score("The cat", " sat on the mat")], meter=METER)
    assert isinstance(answer, Scored)
    network, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    labels = torch.tensor([tokenizer(" sat on the mat", add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        loss = network(input_ids=torch.tensor([tokenizer("The cat")["input_ids"]]), labels=labels).loss
    assert len(answer.logprobs) == labels.shape[1]
    assert answer.total / labels.shape[1] == pytest.approx(-float(loss), abs=1e-5)
    assert answer.spans[-1][1] == len(" sat on the mat")


def test_company_changes_no_answer(model: EncoderDecoder) -> None:
    requests = [Generate(text, 6) for text in ("The dog", "who?", "one two")]
    together = model.generate(requests, decoder=None, seeds=[0, 1, 2], meter=METER)
    assert [model.generate([item], decoder=None, seeds=[0], meter=METER)[0] for item in requests] == together


def test_an_instruction_comes_before_the_source(model: EncoderDecoder) -> None:
    told, written = model.generate(
        [Generate("The cat", 6, instruction="to German:"), Generate("to German:\n\nThe cat\n", 6)],
        decoder=None,
        seeds=[0, 0],
        meter=METER,
    )
    assert told == written


def test_what_cannot_be_read_is_a_failure_of_its_own(place: Path) -> None:
    model = Seq2seq(path=str(place), context_length=8).load(SETTING)
    requests = [Generate("The cat sat on the mat and the dog ran.", 2), Generate(np.zeros((2, 2)), 2), Generate("a", 2)]
    long, array, fine = model.generate(requests, decoder=None, seeds=[0, 0, 0], meter=METER)
    assert isinstance(long, Failure)
    assert "the encoder holds 8" in long.error
    assert isinstance(array, Failure)
    assert isinstance(fine, Generated)
    (scored,) = model.score([Score("a", "")], meter=METER)
    assert isinstance(scored, Failure)


def test_a_forced_first_token_begins_every_answer(place: Path, model: EncoderDecoder) -> None:
    forced = Seq2seq(path=str(place), first="<pad>").load(SETTING)
    assert forced.begin == (*model.begin, 2)
    with pytest.raises(DataError, match="it must be one"):
        Seq2seq(path=str(place), first="The cat sat on").load(SETTING)


def test_a_decoder_only_folder_is_refused(checkpoint: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="cannot be loaded"):
        Seq2seq(path=str(checkpoint("llama"))).load(SETTING)
