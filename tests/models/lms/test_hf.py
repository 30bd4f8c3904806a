"""Any transformers model behind the doors: equal to transformers' own forward and generate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.api import registry
from harness.api.errors import DataError, UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Failure, Generate, Generated, Score, Scored, Want
from harness.models.lms._hf_runtime import HfRuntime
from harness.models.lms._hf_scoring import HfScorer
from harness.models.lms._scoring import ScoreRow, StepScorer
from harness.models.lms.hf import Hf
from harness.sources import DataSources

METER = SilentMeter()
SETTING = Setting(DataSources(None, online=False))
KINDS = ["llama", "mistral", "gpt2", "mamba", "rwkv"]
TOKENS = [5, 17, 250, 3, 99, 64, 12, 201, 33, 8, 150, 42]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def place(kind: str, checkpoint: Callable[..., Path]) -> Path:
    return checkpoint(kind)


@pytest.fixture(scope="module")
def runtime(place: Path) -> HfRuntime:
    lm = Hf(path=str(place)).load(SETTING).lm
    assert isinstance(lm, HfRuntime)
    return lm


@torch.no_grad()
def whole(runtime: HfRuntime, tokens: list[int]) -> torch.Tensor:
    """Logits [T, V] of one forward pass without a memory."""
    return runtime.network(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]


def test_steps_of_any_size_give_the_logits_of_one_pass(runtime: HfRuntime) -> None:
    expected = whole(runtime, TOKENS)
    state = runtime.start(1, 20)
    found = []
    for first, last in ((0, 5), (5, 6), (6, 9), (9, 12)):
        step = runtime.step(state, [TOKENS[first:last]], Want(logits="all"))
        state = step.state
        found.append(step.logits[0])
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-4, rtol=1e-4)
    assert runtime.length(state) == [12]


def test_rows_of_different_lengths_do_not_meet(runtime: HfRuntime) -> None:
    step = runtime.step(runtime.start(3, 20), [TOKENS[:3], [], TOKENS[2:9]])
    torch.testing.assert_close(step.logits[0, 0], whole(runtime, TOKENS[:3])[-1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(step.logits[2, 0], whole(runtime, TOKENS[2:9])[-1], atol=1e-4, rtol=1e-4)
    assert runtime.length(step.state) == [3, 0, 7]


@pytest.mark.parametrize("kept", [0, 1, 4, 7])
def test_a_rewound_row_is_like_a_fresh_one(runtime: HfRuntime, kept: int) -> None:
    state = runtime.step(runtime.start(1, 20), [TOKENS[:4]]).state
    state = runtime.step(state, [TOKENS[4:7]]).state
    state = runtime.rewind(state, [kept])
    assert runtime.length(state) == [kept]
    step = runtime.step(state, [[77, 78]], Want(logits=[0, 1]))
    expected = whole(runtime, [*TOKENS[:kept], 77, 78])[-2:]
    torch.testing.assert_close(step.logits[0], expected, atol=1e-4, rtol=1e-4)


def test_a_tree_gives_each_node_the_logits_of_its_path(runtime: HfRuntime) -> None:
    state = runtime.step(runtime.start(1, 30), [TOKENS[:5]]).state
    nodes, parents = [50, 51, 52, 53, 54], [-1, 0, 0, 2, -1]
    step = runtime.step(state, [nodes], Want(logits="all"), [parents])
    for node, path in enumerate(([50], [50, 51], [50, 52], [50, 52, 53], [54])):
        expected = whole(runtime, [*TOKENS[:5], *path])[-1]
        torch.testing.assert_close(step.logits[0, node], expected, atol=1e-4, rtol=1e-4)
    state = runtime.keep_path(step.state, [[0, 2]])
    assert runtime.length(state) == [7]
    step = runtime.step(state, [[60]])
    expected = whole(runtime, [*TOKENS[:5], 50, 52, 60])[-1]
    torch.testing.assert_close(step.logits[0, 0], expected, atol=1e-4, rtol=1e-4)


def test_a_rejected_tree_leaves_the_row_as_it_was(runtime: HfRuntime) -> None:
    state = runtime.step(runtime.start(1, 30), [TOKENS[:5]]).state
    state = runtime.step(state, [[50, 51]], Want(logits="all"), [[-1, 0]]).state
    step = runtime.step(runtime.keep_path(state, [[]]), [[60]])
    expected = whole(runtime, [*TOKENS[:5], 60])[-1]
    torch.testing.assert_close(step.logits[0, 0], expected, atol=1e-4, rtol=1e-4)


def test_copies_of_a_row_go_their_own_ways(runtime: HfRuntime) -> None:
    state = runtime.step(runtime.start(2, 20), [TOKENS[:4], TOKENS[4:6]]).state
    state = runtime.select(state, [0, 0, 1])
    step = runtime.step(state, [[50], [51], [52]])
    step = runtime.step(step.state, [[60], [60], [60]])
    for row, tokens in enumerate(([*TOKENS[:4], 50, 60], [*TOKENS[:4], 51, 60], [*TOKENS[4:6], 52, 60])):
        torch.testing.assert_close(step.logits[row, 0], whole(runtime, tokens)[-1], atol=1e-4, rtol=1e-4)


def test_batched_scores_equal_those_of_single_rows(runtime: HfRuntime) -> None:
    rows = [ScoreRow(tuple(TOKENS[:end]), start) for end in (2, 5, 12) for start in (1, end - 1)]
    rows += [ScoreRow((*TOKENS[:5], token), 5) for token in (7, 8, 9)]
    for found, expected in zip(HfScorer(runtime).score(rows), StepScorer(runtime).score(rows), strict=True):
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
        assert found.greedy == expected.greedy


def test_long_rows_are_read_in_pieces(runtime: HfRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [ScoreRow(tuple(TOKENS), 1), ScoreRow(tuple(TOKENS), 6), ScoreRow(tuple(TOKENS[:3]), 2)]
    expected = StepScorer(runtime).score(rows)
    monkeypatch.setattr("harness.models.lms._hf_scoring.HEAD_ROWS", 5)
    for found, row in zip(HfScorer(runtime).score(rows), expected, strict=True):
        assert found.logprobs == pytest.approx(row.logprobs, abs=1e-4)


def test_greedy_tokens_equal_those_of_generate(place: Path) -> None:
    model = Hf(path=str(place)).load(SETTING)
    texts = ["The cat", "Numbers", "who? Answer:", "naïve 12"]
    answers = model.generate([Generate(text, 12) for text in texts], decoder=None, seeds=[0] * 4, meter=METER)
    network, tokenizer = AutoModelForCausalLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    for text, answer in zip(texts, answers, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        # without its memory, which transformers 4.57 fills wrongly for Mamba after a prompt of one or two tokens
        (whole,) = network.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=2, use_cache=False)
        made = whole[ids.shape[1] :].tolist()
        assert isinstance(answer, Generated)
        assert list(answer.tokens) == (made[: made.index(1)] if 1 in made else made)


def test_a_state_cannot_be_used_twice(runtime: HfRuntime) -> None:
    state = runtime.start(1, 4)
    runtime.step(state, [[1]])
    with pytest.raises(Exception, match="used twice"):
        runtime.step(state, [[1]])


def test_hidden_layers_are_those_of_transformers(runtime: HfRuntime) -> None:
    expected = runtime.network(input_ids=torch.tensor([TOKENS]), output_hidden_states=True, use_cache=False)
    state = runtime.step(runtime.start(1, 20), [TOKENS[:9]]).state
    step = runtime.step(state, [TOKENS[9:]], Want(logits="none", hidden=(0, 1, -1)))
    for layer in (0, 1, -1):
        right = expected.hidden_states[layer][0, 9:]
        # Mamba's sharpened layers reach 400,000
        torch.testing.assert_close(step.hidden[layer][0], right, atol=1e-4 + 1e-6 * right.abs().max().item(), rtol=1e-4)
    with pytest.raises(UsageError, match="after the final norm"):
        runtime.step(runtime.start(1, 20), [TOKENS], Want(hidden=(2,)))


# one architecture is enough for what does not depend on it


@pytest.fixture(scope="module")
def llama(checkpoint: Callable[..., Path]) -> Path:
    return checkpoint("llama")


def test_a_prompt_that_fills_the_context_is_a_failure_of_its_own(llama: Path) -> None:
    model = Hf(path=str(llama), context_length=16).load(SETTING)
    requests = [Generate("The cat sat on the mat and the dog ran", 8), Generate("The", 2)]
    first, second = model.generate(requests, decoder=None, seeds=[0, 0], meter=METER)
    assert isinstance(first, Failure)
    assert "the context holds 16" in first.error
    assert isinstance(second, Generated)


def test_an_empty_prompt_begins_with_the_first_token(llama: Path) -> None:
    model = Hf(path=str(llama)).load(SETTING)
    (answer,) = model.generate([Generate("", 4)], decoder=None, seeds=[0], meter=METER)
    assert isinstance(answer, Generated)
    assert answer.prompt_tokens == 1


def test_a_continuation_that_merges_with_the_context_is_encoded_apart(llama: Path) -> None:
    model = Hf(path=str(llama)).load(SETTING)
    # " the" is one token, so that "t" + "he" merges across the border
    context, continuation, _ = model.pair("on t", "he mat")
    assert context == model.tokenizer.encode("on t")[0]
    assert continuation == model.tokenizer.encode("he mat", special=False)[0]
    merged, spaced = model.score([Score("on t", "he mat"), Score("on ", "the mat")], meter=METER)
    assert isinstance(merged, Scored)
    assert isinstance(spaced, Scored)
    assert len(merged.logprobs) == len(continuation)
    (direct,) = model.score([Score("on", " the mat")], meter=METER)
    assert isinstance(direct, Scored)
    assert spaced.logprobs == pytest.approx(direct.logprobs, abs=1e-5)


def test_a_tokenizer_without_special_tokens_still_scores_after_a_context(checkpoint: Callable[..., Path]) -> None:
    place = checkpoint("gpt2", specials=False)
    config = json.loads((place / "config.json").read_text())
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        config[name] = None
    (place / "config.json").write_text(json.dumps(config))
    (place / "generation_config.json").unlink()
    model = Hf(path=str(place)).load(SETTING)
    after, alone = model.score([Score("The cat", " sat"), Score("", "The cat")], meter=METER)
    assert isinstance(after, Scored)
    assert isinstance(alone, Failure)
    assert "neither a BOS nor an EOS" in alone.error
    (answer,) = model.generate([Generate("The cat", 5)], decoder=None, seeds=[0], meter=METER)
    assert isinstance(answer, Generated)
    assert (len(answer.tokens), answer.finished) == (5, "length")


def test_attention_weights_need_the_eager_kernel(llama: Path) -> None:
    eager = Hf(path=str(llama), attention="eager").load(SETTING).lm
    step = eager.step(eager.start(1, 9), [TOKENS[:4]], Want(attention=(0,)))
    assert step.attention[0].shape == (1, 4, 4, 4)
    torch.testing.assert_close(step.attention[0].sum(-1), torch.ones(1, 4, 4))


def test_weights_that_are_not_finite_are_a_failure_that_names_the_layer(checkpoint: Callable[..., Path]) -> None:
    place = checkpoint("llama")
    network = AutoModelForCausalLM.from_pretrained(place)
    with torch.no_grad():
        network.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    network.save_pretrained(place)
    model = Hf(path=str(place)).load(SETTING)
    (answer,) = model.score([Score("The", " cat")], meter=METER)
    assert isinstance(answer, Failure)
    assert "layer 2 of 2" in answer.error
    (answer,) = model.generate([Generate("The", 4)], decoder=None, seeds=[0], meter=METER)
    assert isinstance(answer, Failure)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no/such/folder", "no model folder is there"),
        ("owner/name", "not in the cache"),
        ("gone.gguf", "does not exist"),
    ],
)
def test_a_path_without_a_model_is_one_line(path: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=words) as caught:
        Hf(path=path).load(SETTING)
    assert "\n" not in str(caught.value)


def test_a_folder_without_safetensors_is_refused_and_a_pickle_is_not_opened(tmp_path: Path, llama: Path) -> None:
    for file in llama.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="holds no .safetensors weights"):
        Hf(path=str(tmp_path)).load(SETTING)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(DataError, match="a pickle, which is never opened"):
        Hf(path=str(tmp_path)).load(SETTING)


def test_weights_that_lack_a_tensor_or_are_cut_short_are_refused(checkpoint: Callable[..., Path]) -> None:
    place = checkpoint("llama")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(DataError, match="tensors are missing"):
        Hf(path=str(place)).load(SETTING)
    weights = place / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be loaded"):
        Hf(path=str(place)).load(SETTING)


def test_a_model_with_code_of_its_own_is_refused(checkpoint: Callable[..., Path]) -> None:
    place = checkpoint("llama")
    config = json.loads((place / "config.json").read_text())
    config |= {"model_type": "strange", "auto_map": {"AutoConfig": "own.Strange", "AutoModelForCausalLM": "own.Model"}}
    (place / "config.json").write_text(json.dumps(config))
    (place / "own.py").write_text("raise SystemExit('ran')")
    with pytest.raises(DataError, match="cannot be loaded"):
        Hf(path=str(place)).load(SETTING)


def test_the_fingerprint_changes_with_the_tokenizer(checkpoint: Callable[..., Path]) -> None:
    place = checkpoint("llama")
    card = registry.create("model", f"lms/hf:path={place}")
    before = card.fingerprint(SETTING)
    (place / "tokenizer.json").write_text((place / "tokenizer.json").read_text() + " ")
    after = card.fingerprint(SETTING)
    assert before["weights"] == after["weights"]
    assert before["tokenizer"] != after["tokenizer"]


LONGROPE = {
    "rope_type": "longrope", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 32,
    "short_factor": [1.0] * 4, "long_factor": [2.0] * 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def longrope(checkpoint: Callable[..., Path]) -> HfRuntime:
    """Rotary angles that change once a row has more than 32 tokens."""
    place = checkpoint("llama")
    config = json.loads((place / "config.json").read_text())
    for name in ("rope_parameters", "rope_scaling"):
        config[name] = LONGROPE
    # where transformers 4 looks for the original length
    config["original_max_position_embeddings"] = 32
    (place / "config.json").write_text(json.dumps(config))
    lm = Hf(path=str(place)).load(SETTING).lm
    assert isinstance(lm, HfRuntime)
    assert lm.interface.boundary == 32
    return lm


def test_a_longrope_row_scores_alone_as_beside_a_longer_one(longrope: HfRuntime) -> None:
    text = [(7 * place * place + 3 * place) % 300 + 3 for place in range(61)]
    rows = [ScoreRow(tuple(text[:end]), 2) for end in (5, 32, 33, 34, 61)]
    for row, found in zip(rows, HfScorer(longrope).score(rows), strict=True):
        inputs, targets = list(row.tokens[:-1]), torch.tensor(row.tokens[2:])
        law = torch.log_softmax(whole(longrope, inputs)[1:].double(), -1)
        expected = law.gather(-1, targets[:, None])[:, 0].tolist()
        assert found.logprobs == pytest.approx(expected, abs=1e-4), len(row.tokens)


def test_a_longrope_row_is_read_anew_when_it_grows_or_shrinks_past_its_original_length(longrope: HfRuntime) -> None:
    text = [(5 * place * place + place) % 300 + 3 for place in range(40)]
    state, expected = longrope.start(1, 40), [whole(longrope, text[: end + 1])[-1] for end in range(40)]
    assert float((whole(longrope, text)[20] - expected[20]).abs().max()) > 0.1
    for start, end in ((0, 30), (30, 35), (35, 36), (36, 40)):
        step = longrope.step(state, [text[start:end]], Want(logits="all"))
        for place in range(start, end):
            # a long first piece apart, each token has the law of the row up to it
            torch.testing.assert_close(step.logits[0, place - start], expected[place], atol=1e-4, rtol=1e-4)
        state = step.state
    state = longrope.rewind(state, [31])
    step = longrope.step(state, [text[31:33]], Want(logits="all"))
    torch.testing.assert_close(step.logits[0, 0], expected[31], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(step.logits[0, 1], expected[32], atol=1e-4, rtol=1e-4)


def test_a_checkpoint_that_sees_later_tokens_is_refused_by_what_it_does(checkpoint: Callable[..., Path]) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    masked = checkpoint("bert", config=sizes)
    with pytest.raises(DataError, match="BertLMHeadModel .* has no causal attention") as caught:
        Hf(path=str(masked)).load(SETTING)
    assert "\n" not in str(caught.value)
    causal = checkpoint("bert", config=sizes | {"is_decoder": True})
    assert Hf(path=str(causal)).load(SETTING).facts["rewind"] == "cuts keys and values"


def test_how_a_family_rewinds_is_a_fact_of_the_result(kind: str, place: Path) -> None:
    told = Hf(path=str(place)).load(SETTING).facts["rewind"]
    if kind in ("mamba", "rwkv"):
        assert told.startswith(("reads the kept tokens again", "keeps nothing"))
    else:
        assert told == "cuts keys and values"


def test_positions_that_stand_for_padding_are_no_room_for_tokens(checkpoint: Callable[..., Path]) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    place = checkpoint("roberta", config=sizes | {"is_decoder": True, "max_position_embeddings": 40})
    lm = Hf(path=str(place)).load(SETTING).lm
    # the padding token is 2, and the positions 0, 1 and 2 are its own
    assert lm.context_length == 37
    assert lm.step(lm.start(1, 37), [[7] * 37]).logits.shape == (1, 1, 320)


def test_a_network_whose_plain_pass_fails_is_refused_in_one_line(checkpoint: Callable[..., Path]) -> None:
    place = checkpoint("gptj", config={"n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 64, "rotary_dim": 32})
    with pytest.raises(DataError, match="GPTJForCausalLM .* a plain pass over 24 tokens fails") as caught:
        Hf(path=str(place)).load(SETTING)
    assert "\n" not in str(caught.value)
