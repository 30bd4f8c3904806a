"""Embedders: a random BERT against transformers, a transparent language model, a probe against scikit-learn."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget, Embed, Embedded, Example, Failure, Label, Labelled, Step, Want
from harness.models.embedders._causal import CausalEncoder
from harness.models.embedders._sentence_folder import pool
from harness.models.embedders._vectors import EncoderModel
from harness.models.embedders.probe import Vectors
from harness.models.embedders.prompteol import tidy
from harness.sources import DataSources

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "a", "mat", "dog", "ran"]
SETTING = Setting(DataSources(None, online=False))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random sentence-transformers folder: two layers, mean pooling, normalisation, eight tokens."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config, add_pooling_layer=False).eval().save_pretrained(folder)
    engine = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.Whitespace()
    engine.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    engine.enable_truncation(4)
    engine.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    listed = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    return folder


def put_up(folder: Path, **parameters: Any) -> EncoderModel:
    more = "".join(f",{key}={value}" for key, value in parameters.items())
    found = registry.create("model", f"embedders/folder:path={folder}{more}").load(SETTING)
    assert isinstance(found, EncoderModel)
    return found


def vectors(model: Any, *texts: str) -> np.ndarray[Any, Any]:
    return np.stack([answer.vector for answer in model.embed([Embed(text) for text in texts], meter=SilentMeter())])


def test_a_folder_gives_the_normalised_mean_of_transformers_own_states(bert: Path) -> None:
    network = transformers.AutoModel.from_pretrained(bert)
    ids = torch.tensor([[2, 4, 5, 6, 3]])
    with torch.no_grad():
        mean = network(ids).last_hidden_state.mean(1)[0].double()
    np.testing.assert_allclose(vectors(put_up(bert), "the cat sat")[0], mean / mean.norm(), atol=1e-6)


def test_the_company_and_order_of_texts_change_nothing(bert: Path) -> None:
    model, texts = put_up(bert), ["the cat", "", "a dog ran on the mat", "dog"]
    together = vectors(model, *texts)
    np.testing.assert_allclose(together, np.concatenate([vectors(model, text) for text in texts]), atol=1e-6)
    np.testing.assert_allclose(vectors(model, *texts[::-1]), together[::-1], atol=1e-6)


def test_texts_are_cut_at_the_folders_length_and_not_at_the_tokenizers(bert: Path) -> None:
    model = put_up(bert)
    assert model.encoder.tokens("cat " * 20) == [2, *[5] * 6, 3]
    assert model.size(Embed("the cat")) == 4
    assert put_up(bert, length=5).encoder.tokens("cat " * 20) == [2, 5, 5, 5, 3]
    with pytest.raises(UsageError, match="length=33 is not within the encoder's 32"):
        put_up(bert, length=33)


def test_a_text_that_is_no_unicode_fails_alone(bert: Path) -> None:
    answers = put_up(bert).embed([Embed("\ud800"), Embed("cat")], meter=SilentMeter())
    assert isinstance(answers[0], Failure)
    assert isinstance(answers[1], Embedded)


def test_folders_with_unknown_parts_or_without_any_are_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing of the kind"):
        put_up(tmp_path / "absent")
    listed = [{"path": "", "type": "x.Transformer"}, {"path": "2", "type": "x.Dense"}]
    for name in ("config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((bert / name).read_bytes())
    assert vectors(put_up(tmp_path), "the cat").shape == (1, 16)
    (tmp_path / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(UsageError, match="needs the modules Dense"):
        put_up(tmp_path)


@pytest.mark.parametrize(
    ("how", "expected"), [("mean", [2.0, 3.0]), ("max", [3.0, 5.0]), ("cls", [1.0, 1.0]), ("last", [3.0, 5.0])]
)
def test_pooling_leaves_padding_out(how: str, expected: list[float]) -> None:
    states = torch.tensor([[[1.0, 1.0], [3.0, 5.0], [99.0, 99.0]]])
    assert pool(states, torch.tensor([[1, 1, 0]]), how)[0].tolist() == expected


class CountingLm:
    """Hidden state of layer n at a token: (its id + n, how many tokens stand before it)."""

    vocabulary, eos, context_length = 300, frozenset({0}), 12

    def start(self, rows: int, capacity: int) -> None:
        assert rows > 0
        assert capacity <= self.context_length

    def step(self, state: None, tokens: Sequence[Sequence[int]], want: Want) -> Step:
        assert want.logits == "none"
        (layer,) = want.hidden
        padded = torch.full((len(tokens), max(map(len, tokens)), 2), torch.nan)
        for row, ids in enumerate(tokens):
            for place, token in enumerate(ids):
                padded[row, place] = torch.tensor([token + layer, place])
        return Step(None, hidden={layer: padded})


class Bytes:
    bos = None
    eos = 0

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        return list(text.encode()), []


class Loaded:
    lm, tokenizer = CountingLm(), Bytes()
    identity: Mapping[str, Any] = {"parameters": 0}


def test_mean_and_last_states_ignore_the_padding_of_shorter_texts() -> None:
    mean = vectors(EncoderModel(CausalEncoder(Loaded(), "mean", -1, None)), "ab", "z")
    assert mean.tolist() == [[(97 + 98) / 2 - 1, 0.5], [121.0, 0.0]]
    last = vectors(EncoderModel(CausalEncoder(Loaded(), "last", 3, None)), "ab", "z")
    assert last.tolist() == [[101.0, 1.0], [125.0, 0.0]]


def test_an_empty_text_is_its_end_token_and_a_long_one_is_refused() -> None:
    model = EncoderModel(CausalEncoder(Loaded(), "last", 0, None))
    assert vectors(model, "").tolist() == [[0.0, 0.0]]
    (answer,) = model.embed([Embed("x" * 13)], meter=SilentMeter())
    assert answer == Failure("the text has 13 tokens, but the context holds 12")


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [("A cat", "A cat."), ("A cat?", "A cat."), ('He said "no"', "He said 'no'"), ("Done.", "Done."), ("", "")],
)
def test_sentences_are_tidied_as_in_the_papers_code(sentence: str, expected: str) -> None:
    assert tidy(sentence) == expected


def test_the_prompt_ends_before_the_one_word() -> None:
    model = registry.create("model", "embedders/prompteol")
    assert model.wrapped("A cat") == 'This sentence : "A cat." means in one word:"'
    cot = registry.create("model", "embedders/prompteol:prompt=cot").wrapped("A cat")
    assert cot.startswith("After thinking step by step , this sentence")


def test_tfidf_weighs_rare_words_and_nothing_else() -> None:
    model = registry.create("model", "embedders/tfidf:dimensions=65536").load(SETTING)
    same, order, empty = vectors(model, "the cat sat", "sat CAT the!", "...")
    np.testing.assert_allclose(same, order)
    assert not empty.any()
    weights = {
        word: 1 + math.log((1 + model.documents) / (1 + model.frequencies.get(word, 0))) for word in ("the", "zyx")
    }
    both = vectors(model, "the zyx zyx")[0]
    found = sorted(np.abs(both[both != 0]).tolist())
    length = math.hypot(weights["the"], 2 * weights["zyx"])
    assert found == pytest.approx([weights["the"] / length, 2 * weights["zyx"] / length])


def sentence(index: int, kind: int, pair: bool = False) -> Example:
    from harness.tasks.embedding._sentences import VOCABULARY, as_bytes

    words = [("good fine", "bad poor")[kind] + f" thing{index % 5}", "a film"]
    return Example(f"{index}", (Label(as_bytes(words if pair else words[:1]), 2, VOCABULARY),), kind)


@pytest.mark.parametrize("pair", [False, True])
def test_a_probe_is_scikit_learns_classifier_with_the_best_strength(pair: bool) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    train = [sentence(index, index % 2, pair) for index in range(40)]
    held = [sentence(index, index % 2, pair) for index in range(40, 50)]
    probe = registry.create("model", "embedders/probe:encoder=(embedders/tfidf:dimensions=64)")
    fitted = probe.fit(
        lambda: iter(train), lambda: iter(held), seed=0, budget=Budget(), setting=SETTING, meter=SilentMeter()
    )
    encoder = registry.create("model", "embedders/tfidf:dimensions=64").load(SETTING)
    known, labels, classes = Vectors(encoder).table(iter(train), SilentMeter())
    assert known.shape == (40, 128 if pair else 64)
    assert classes == 2
    # every strength is right here, so the smallest is kept
    assert fitted.identity["inverse_strength"] == 0.25
    expected = linear.LogisticRegression(C=0.25, max_iter=2000).fit(known, labels).predict_log_proba(known)
    answers = fitted.label([item.requests[0] for item in train], meter=SilentMeter())
    assert all(isinstance(answer, Labelled) for answer in answers)
    np.testing.assert_allclose(np.stack([answer.scores for answer in answers]), expected, atol=1e-9)


def test_a_probe_refuses_what_is_no_sentence() -> None:
    pytest.importorskip("sklearn")
    probe = registry.create("model", "embedders/probe:encoder=(embedders/tfidf)")
    series = Example("0", (Label(np.zeros((3, 1)), 2),), 0)
    fit = {"seed": 0, "budget": Budget(), "setting": SETTING, "meter": SilentMeter()}
    with pytest.raises(UsageError, match="reads sentences as bytes"):
        probe.fit(lambda: iter([series]), lambda: iter(()), **fit)
    with pytest.raises(UsageError, match="does not embed"):
        registry.create("model", "embedders/probe:encoder=(series/cnn)").fit(
            lambda: iter([series]), lambda: iter(()), **fit
        )
    with pytest.raises(UsageError, match="two classes"):
        probe.fit(lambda: iter([sentence(0, 1)]), lambda: iter(()), **fit)
