"""Text in, text out: the doors of lms/llama on tiny checkpoints, against transformers' own loop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Failure, Generate, Generated, Score, Scored, Turn
from harness.boundary import is_out_of_memory
from harness.models.lms._bytes import ByteTokenizer
from harness.models.lms._llama import Network
from harness.models.lms._scoring import Scorer, ScoreRow, StepScorer
from harness.models.lms._text import TextModel, rolling
from harness.models.lms.llama import Llama
from harness.sources import DataSources

METER = SilentMeter()
SETTING = Setting(DataSources(None, online=False))
PROMPTS = ["The cat sat", "Question: who? Answer:", "dog", "Numbers such as 12, 345", "naïve"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def load(folder: Path, **options: object) -> TextModel:
    return Llama(path=folder, **options).load(SETTING)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(checkpoint: Callable[..., Path]) -> Path:
    return checkpoint("llama")


@pytest.fixture(scope="module")
def model(folder: Path) -> TextModel:
    return load(folder)


def generate(model: TextModel, requests: list[Generate], spec: str = "greedy") -> list[Generated]:
    decoder = registry.create("decoder", spec)
    found = model.generate(requests, decoder=decoder, seeds=[7 + i for i in range(len(requests))], meter=METER)
    assert all(isinstance(answer, Generated) for answer in found), found
    return found  # type: ignore[return-value]


def test_greedy_tokens_equal_generate_of_transformers(folder: Path, model: TextModel) -> None:
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers = generate(model, [Generate(prompt, 24) for prompt in PROMPTS])
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        expected = network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
        kept = [token for token in expected[0, ids.shape[1] :].tolist() if token != 1]
        assert list(answer.tokens) == kept
        assert answer.prompt_tokens == ids.shape[1]
        assert sum(answer.accepted) == answer.calls == len(kept) + (answer.finished == "eos")


@pytest.mark.parametrize("spec", ["greedy", "sample", "sample:temperature=0.7,top_k=20,top_p=0.9,min_p=0.02"])
def test_neither_company_nor_order_changes_a_generation(
    model: TextModel, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [Generate(prompt * (1 + i), 6 + 5 * i) for i, prompt in enumerate(PROMPTS)]
    decoder = registry.create("decoder", spec)

    def told(order: list[int]) -> dict[int, tuple[int, ...]]:
        found = model.generate([requests[i] for i in order], decoder=decoder, seeds=order, meter=METER)
        return {i: answer.tokens for i, answer in zip(order, found, strict=True) if isinstance(answer, Generated)}

    alone = {i: told([i])[i] for i in range(len(requests))}
    assert told([0, 1, 2, 3, 4]) == alone
    # two rows for five prompts: rows leave and new ones enter in the middle
    monkeypatch.setattr("harness.models.decoders._stepwise.ROWS", 2)
    assert told([3, 0, 4, 2, 1]) == alone


def test_log_probabilities_equal_a_plain_transformers_loop(folder: Path, model: TextModel) -> None:
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    pairs = [("The cat", " sat on"), ("A. one B.", " two"), ("The cat", " ran"), ("who?", " nobody")]
    found = model.score([Score(*pair) for pair in pairs], meter=METER)
    for (context, continuation), answer in zip(pairs, found, strict=True):
        assert isinstance(answer, Scored)
        start, _ = model.tokenizer.encode(context)
        ids, _ = model.tokenizer.encode(context + continuation)
        with torch.no_grad():
            law = network(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = [float(law[i - 1, ids[i]]) for i in range(len(start), len(ids))]
        assert answer.logprobs == pytest.approx(expected, abs=1e-4)
        assert "".join(continuation[a:b] for a, b in answer.spans) == continuation


@given(
    st.text(alphabet="The cat sat. naïve 12é😀\n", min_size=1, max_size=20),
    st.text(alphabet="The cat sat. naïve 12é😀\n", min_size=1, max_size=12),
)
@settings(max_examples=150, deadline=None)
def test_a_pair_is_split_as_lm_eval_does_and_encoded_apart_where_its_cut_would_lose_text(
    model: TextModel, context: str, continuation: str
) -> None:
    def encode(text: str) -> list[int]:
        return model.tokenizer.encode(text)[0]

    # the rule of lm-eval's `_encode_pair`, restated
    spaces = len(context) - len(context.rstrip())
    moved = (context[-spaces:] if spaces else "") + continuation
    head = context[:-spaces] if spaces else context
    expected = (encode(head), encode(head + moved)[len(encode(head)) :]) if head else ([0], encode(moved))
    if head and encode(head + moved)[: len(encode(head))] != encode(head):
        expected = (encode(head), encode(moved))
    before, after, spans = model.pair(context, continuation)
    assert (before, after) == expected
    # nothing of the continuation is left out
    assert model.tokenizer.decode(after) == (moved if head else context + continuation)
    assert len(spans) == len(after)
    assert all(0 <= first <= last <= len(continuation) for first, last in spans)


def test_a_continuation_that_melts_into_the_context_is_scored_whole(folder: Path, model: TextModel) -> None:
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    encode = model.tokenizer.encode
    assert len(encode(" ran")[0]) == 1
    for context, continuation in (("The cat r", "an"), ("The cat r", "an on the mat")):
        [found] = model.score([Score(context, continuation)], meter=METER)
        start, ids = encode(context)[0], encode(continuation)[0]
        with torch.no_grad():
            law = network(torch.tensor([start + ids])).logits[0].log_softmax(-1)
        expected = [float(law[len(start) + i - 1, token]) for i, token in enumerate(ids)]
        assert isinstance(found, Scored)
        assert found.logprobs == pytest.approx(expected, abs=1e-4)
        assert "".join(continuation[a:b] for a, b in found.spans) == continuation


def test_a_tokenizer_of_bytes_is_asked_for_the_same(model: TextModel) -> None:
    spelled = replace(model, tokenizer=ByteTokenizer())
    assert spelled.pair("ab ", "né") == ([97, 98], [32, 110, 195, 169], [(0, 0), (0, 1), (1, 2), (1, 2)])
    [found] = spelled.score([Score("ab ", "né")], meter=METER)
    assert isinstance(found, Scored)
    assert len(found.logprobs) == 4
    assert spelled.prompt(Generate("ab", 2)) == [97, 98]


def test_a_tokenizer_that_ends_texts_with_eos_ends_neither_a_context_nor_a_prompt(
    checkpoint: Callable[..., Path],
) -> None:
    plain = load(checkpoint("llama", adds_bos=True))
    ending = load(checkpoint("llama", adds_bos=True, adds_eos=True))
    assert ending.tokenizer.encode("cat")[0] == [*plain.tokenizer.encode("cat")[0], 1]
    requests = [Score("The cat", " sat"), Score("", "The cat sat"), Score(" ", "dog")]
    first, second = (model.score(requests, meter=METER) for model in (plain, ending))
    assert first == second
    assert ending.prompt(Generate("cat", 2)) == plain.prompt(Generate("cat", 2))
    assert ending.prompt(Generate("", 2)) == [0]
    assert ending.identity["first_token_ids"] == plain.identity["first_token_ids"]


@pytest.mark.parametrize("kind", [None, StepScorer])
def test_a_score_is_greedy_only_if_every_token_was_the_likeliest(
    model: TextModel, kind: type[StepScorer] | None
) -> None:
    start = tuple(model.tokenizer.encode("The cat sat")[0])
    first, second = generate(model, [Generate("The cat sat", 2)])[0].tokens
    pairs = [(first, second), (first, second + 1), (first + 1, second), (first,), (first + 1,)]
    scorer: Scorer | None = model.scorer if kind is None else kind(model.lm)
    assert scorer is not None
    found = scorer.score([ScoreRow((*start, *pair), len(start)) for pair in pairs])
    assert [score.greedy for score in found] == [True, False, False, True, False]


def test_a_token_that_the_network_does_not_know_is_a_failure_of_its_example(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    place = shutil.copytree(checkpoint("llama"), tmp_path / "model")
    stored = json.loads((place / "tokenizer.json").read_text())
    stored["added_tokens"].append({**stored["added_tokens"][0], "id": 320, "content": "<new>"})
    (place / "tokenizer.json").write_text(json.dumps(stored))
    known, unknown = load(place).score([Score("The cat", " sat"), Score("The cat", "<new>")], meter=METER)
    assert isinstance(known, Scored)
    assert isinstance(unknown, Failure)
    assert "gives token 320, but the network knows 320" in unknown.error


@pytest.mark.parametrize(("length", "limit"), [(1, 4), (4, 4), (5, 4), (11, 4), (12, 4), (7, 100)])
def test_rolling_windows_score_every_token_once_with_all_the_context_that_fits(length: int, limit: int) -> None:
    tokens = list(range(100, 100 + length))
    rows = rolling(tokens, 7, limit)
    scored = [token for row in rows for token in row.tokens[row.start :]]
    assert scored == tokens
    assert all(len(row.tokens) - 1 <= limit for row in rows)
    assert rows[0].tokens[0] == 7
    assert rows[0].start == 1
    for row in rows[1:]:
        assert len(row.tokens) == limit + 1


def test_a_stop_string_that_crosses_tokens_ends_the_text_before_it(model: TextModel) -> None:
    free = generate(model, [Generate("The cat sat", 30)])[0]
    text = free.text
    start = len(text) // 2
    stop = text[start : start + 3]
    cut = generate(model, [Generate("The cat sat", 30, stop=(stop,))])[0]
    assert cut.text == text[: text.index(stop)]
    assert cut.finished == "stop"
    assert len(cut.tokens) < len(free.tokens)


def test_bad_requests_fail_alone_and_say_why(model: TextModel) -> None:
    scored = model.score([Score("a", ""), Score("The cat", " sat"), Score("x " * 200, "y"), Score("", "")], meter=METER)
    assert isinstance(scored[1], Scored)
    errors = [answer.error for answer in scored if isinstance(answer, Failure)]
    assert "no token of its own" in errors[0]
    assert "the context holds 128" in errors[1]
    assert "the text is empty" in errors[2]
    requests = [
        Generate("x " * 200, 5),
        Generate("fine", 2),
        Generate("lone \ud800", 2),
        Generate((Turn("user", "a"),), 2),
    ]
    said = model.generate(requests, decoder=None, seeds=[0] * 4, meter=METER)
    assert isinstance(said[1], Generated)
    assert "the context holds 128" in said[0].error  # type: ignore[union-attr]
    assert "lone surrogate" in said[2].error  # type: ignore[union-attr]
    assert isinstance(said[3], Generated)


def test_nothing_to_write_and_an_empty_prompt_are_answers(model: TextModel) -> None:
    nothing, empty = generate(model, [Generate("The cat", 0), Generate("", 3)])
    assert (nothing.text, nothing.tokens, nothing.finished) == ("", (), "length")
    assert empty.prompt_tokens == 1


def test_a_nan_becomes_a_failure_that_names_the_layer(folder: Path) -> None:
    broken = load(folder)
    broken.lm.network.layers[1].before_mlp[3] = float("nan")  # type: ignore[attr-defined]
    scored = broken.score([Score("The cat", " sat")], meter=METER)[0]
    said = broken.generate([Generate("dog", 3), Generate("cat", 3)], decoder=None, seeds=[0, 1], meter=METER)
    for answer in (scored, *said):
        assert isinstance(answer, Failure)
        assert "layer 1 is the first whose output is not finite" in answer.error


def test_a_chat_template_is_used_for_instructions_and_its_bos_is_not_doubled(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    place = shutil.copytree(checkpoint("llama", adds_bos=True), tmp_path / "chat")
    (place / "chat_template.jinja").write_text(TEMPLATE)
    model = load(place)
    ids = model.prompt(Generate("cat", 2, instruction="Say it.", shots=(("a", "b"),)))
    assert ids[0] == model.tokenizer.bos
    assert ids[1] != ids[0]
    text = "<s><user>Say it.\n\na</s><assistant>b</s><user>Say it.\n\ncat</s><assistant>"
    assert ids == model.tokenizer.encode(text, special=False)[0]
    assert model.prompt(Generate("cat", 2)) == model.tokenizer.encode("cat")[0]
    with pytest.warns(UserWarning, match="twice"):
        assert model.prompt(Generate("<s>cat", 2)) == model.tokenizer.encode("cat")[0]
    assert model.identity["first_token_ids"][0] == model.tokenizer.bos


def test_a_tokenizer_without_special_tokens_still_works(checkpoint: Callable[..., Path]) -> None:
    model = load(checkpoint("llama", specials=False))
    assert model.tokenizer.bos is None
    assert isinstance(model.score([Score("The cat", " sat")], meter=METER)[0], Scored)


def test_planned_batches_keep_requests_that_begin_alike_together(model: TextModel) -> None:
    requests = [Score("preamble B question", "x"), Score("preamble A question", "y"), Score("preamble B question", "z")]
    assert model.plan(requests) == [[1, 0, 2]]


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json"]
)
def test_whatever_decides_about_tokens_is_in_the_fingerprint(folder: Path, tmp_path: Path, name: str) -> None:
    place = shutil.copytree(folder, tmp_path / "model")
    before = Llama(path=place).fingerprint(SETTING)
    with (place / name).open("a") as stream:
        stream.write("\n")
    after = Llama(path=place).fingerprint(SETTING)
    assert [key for key in after if before[key] != after[key]] == ["tokenizer"]


def test_paths_that_hold_no_model_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing is there"):
        load(tmp_path / "absent")
    with pytest.raises(DataError, match=r"has no config\.json"):
        load(tmp_path)
    with pytest.raises(UsageError, match="context_length=999"):
        load(folder, context_length=999)
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match="cut short"):
        load(damaged)
    weights.unlink()
    with pytest.raises(DataError, match=r"holds no \.safetensors"):
        load(damaged)
    (damaged / "config.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        load(damaged)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"


@pytest.mark.parametrize("late", [0, 2])
@pytest.mark.parametrize(
    "problem", [torch.OutOfMemoryError("no room"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_runs_out_reaches_the_caller_and_the_next_call_is_unharmed(
    model: TextModel, problem: RuntimeError, late: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = [Score(prompt, " word") for prompt in PROMPTS]
    asked = [Generate(prompt, 5) for prompt in PROMPTS]
    expected = (model.score(scored, meter=METER), generate(model, asked))
    run = Network.run
    # small packs, so that a call has a late batch to fail at
    monkeypatch.setattr("harness.models.lms._scoring.PACK_TOKENS", 8)
    monkeypatch.setattr("harness.models.lms._forest.CLUSTER_TOKENS", 8)
    for ask in (lambda: model.score(scored, meter=METER), lambda: generate(model, asked)):
        calls: list[int] = []

        def failing(self: Network, *given: Any, calls: list[int] = calls, **more: Any) -> Any:
            calls.append(1)
            if len(calls) > late:
                raise problem
            return run(self, *given, **more)

        with monkeypatch.context() as patch:
            patch.setattr(Network, "run", failing)
            with pytest.raises(RuntimeError) as raised:
                ask()
        assert raised.value is problem
        assert is_out_of_memory(raised.value)
        assert len(calls) == late + 1
    assert generate(model, asked) == expected[1]
    again = model.score(scored, meter=METER)
    assert [answer.total for answer in again] == pytest.approx([answer.total for answer in expected[0]], abs=1e-4)  # type: ignore[union-attr]
