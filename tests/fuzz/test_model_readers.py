"""Do damaged model files end in one line? config.json, tokenizer files, chat templates, safetensors and GGUF.

Fifty damaged inputs a reader by default, 2,000 in the slow marks; the number of a failing input makes it again.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from damage import damaged_bytes, damaged_json
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from harness.api.errors import DataError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Failure, Generate, Generated, Score, Scored, Turn
from harness.models.lms import _template
from harness.models.lms._gguf import convert
from harness.models.lms._shape import read_shape
from harness.models.lms._tokenizer import FolderTokenizer
from harness.models.lms.llama import Llama
from harness.sources import DataSources

# the reader of foreign tokenizers imports it, which takes seconds: no input is to pay for that
importlib.import_module("transformers.models.llama.modeling_llama")

SETTING = Setting(DataSources(None, online=False))
METER = SilentMeter()
SECONDS = 10
MANY = [pytest.param(50, id="some"), pytest.param(2000, id="many", marks=pytest.mark.slow)]

CONFIG: dict[str, Any] = {
    "model_type": "qwen3", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "bos_token_id": 7, "eos_token_id": [8], "hidden_act": "silu",
    "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1, "attention_bias": False,
    "layer_types": ["full_attention", "sliding_attention"], "attn_logit_softcapping": None,
    "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 32,
        "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0, "truncate": True,
    },
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
LONGROPE = {"type": "longrope", "short_factor": [1.0, 2.0], "long_factor": [1.0, 2.0], "attention_factor": 1.0}
CONFIGS = (
    CONFIG,
    CONFIG | {"model_type": "llama", "rope_parameters": None, "rope_scaling": LLAMA3, "layer_types": None},
    CONFIG
    | {"model_type": "gemma3_text", "query_pre_attn_scalar": 4, "sliding_window_pattern": 2, "hidden_activation": None},
    CONFIG | {"model_type": "mistral", "rope_parameters": None, "rope_scaling": LONGROPE, "layer_types": None},
)
TEMPLATE = (
    "{{ bos_token }}{%- set ns = namespace(n=0) %}{% macro say(m, deep=2) %}<{{ m.role | upper }}>"
    "{{ m['content'] | trim }}{% endmacro %}{% for m in messages %}"
    "{% if m.role not in ['user', 'assistant', 'system'] %}"
    "{{ raise_exception('unknown role') }}{% endif %}{% generation %}{{ say(m) }}{% endgeneration %}"
    "{% set ns.n = ns.n + 1 * 2 %}{{ m | tojson(indent=2) }}{% endfor %}{{ strftime_now('%Y') }}{{ ns.n ** 2 }}"
    "{% if add_generation_prompt and range(3) | length == 3 %}{{ 'a' * 9 ~ '%5s' | format('x') }}{% endif %}"
)


class Late(BaseException):
    """No Exception, so that nothing on the way takes it for one of its own."""


class Bounded:
    """Fails, with the input's number, for what is neither done within the seconds nor refused in one line.

    `also` are the errors that a caller turns into a Failure of one example.
    """

    def __init__(self, number: int, *also: type[Exception]) -> None:
        self._number, self._allowed = number, (DataError, *also)

    def __enter__(self) -> None:
        def late(*_: object) -> None:
            raise Late

        if sys.platform != "win32":
            signal.signal(signal.SIGALRM, late)
            signal.alarm(SECONDS)

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, _: object) -> bool:
        if sys.platform != "win32":
            signal.alarm(0)
        if kind is None or not issubclass(kind, (Late, Exception)) or isinstance(problem, AssertionError):
            return False
        assert kind is not Late, f"input {self._number} took over {SECONDS} s"
        assert kind in self._allowed, f"input {self._number}: {problem!r}"
        said = str(problem)
        assert "\n" not in said, f"input {self._number}: {said}"
        assert len(said) < 1500, f"input {self._number}: {said}"
        return True


def tokenizers() -> list[Tokenizer]:
    """One of each model that checkpoints have, with the steps around it."""
    letters = {letter: number for number, letter in enumerate("abcdeĠ")}
    pairs = Tokenizer(models.BPE(vocab=letters | {"ab": 6, "<s>": 7, "</s>": 8}, merges=[("a", "b")]))
    pairs.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    pairs.decoder = decoders.ByteLevel()
    pairs.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    pairs.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 7), ("</s>", 8)])
    prefixed = Tokenizer(
        models.BPE(vocab={"a": 0, "##b": 1, "ab": 2}, merges=[("a", "##b")], continuing_subword_prefix="##")
    )
    words = Tokenizer(models.WordPiece(vocab={"[UNK]": 0, "a": 1, "##b": 2, "[CLS]": 3, "[SEP]": 4}, unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer()
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.decoder = decoders.WordPiece()
    words.post_processor = processors.BertProcessing(("[SEP]", 4), ("[CLS]", 3))
    pieces = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0), ("▁a", -1.5), ("b", -2.0)], unk_id=0))
    pieces.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return [pairs, prefixed, words, pieces]


def wounded(value: object, text: bytes, rng: Random) -> bytes:
    """Three times a wound of the JSON value, once one of its bytes."""
    return json.dumps(damaged_json(value, rng)).encode() if rng.random() < 0.75 else damaged_bytes(text, rng)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that can be loaded, of the first configuration."""
    path = tmp_path_factory.mktemp("model")
    generator = torch.Generator().manual_seed(0)
    sizes = {
        "self_attn.q_proj": (8, 8), "self_attn.k_proj": (4, 8), "self_attn.v_proj": (4, 8), "self_attn.o_proj": (8, 8),
        "self_attn.q_norm": (4,), "self_attn.k_norm": (4,), "mlp.gate_proj": (12, 8), "mlp.up_proj": (12, 8),
        "mlp.down_proj": (8, 12), "input_layernorm": (8,), "post_attention_layernorm": (8,),
    }  # fmt: skip
    held = {"model.embed_tokens.weight": torch.randn(16, 8, generator=generator), "model.norm.weight": torch.ones(8)}
    for layer in range(2):
        for name, size in sizes.items():
            held[f"model.layers.{layer}.{name}.weight"] = torch.randn(*size, generator=generator)
    save_file(held, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(CONFIG))
    tokenizers()[0].save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    return path


def try_model(path: Path) -> None:
    """Load it and ask it for something; what it answers is an answer or a Failure."""
    model = Llama(path=path).load(SETTING)
    scored = model.score([Score("ab c", " d")], meter=METER)
    said = model.generate([Generate("ab", 2)], decoder=None, seeds=[0], meter=METER)
    assert all(isinstance(answer, Scored | Generated | Failure) for answer in (*scored, *said))


def test_the_undamaged_files_are_read(folder: Path) -> None:
    try_model(folder)
    for config in CONFIGS:
        read_shape(config)


@pytest.mark.parametrize("count", MANY)
def test_damaged_configurations(count: int, folder: Path, tmp_path: Path) -> None:
    model = copied(folder, tmp_path)
    for number in range(count):
        rng = Random(number)
        config = CONFIGS[number % len(CONFIGS)]
        (model / "config.json").write_bytes(wounded(config, json.dumps(config).encode(), rng))
        with Bounded(number):
            try_model(model)


@pytest.mark.parametrize("count", MANY)
def test_damaged_tensors(count: int, folder: Path, tmp_path: Path) -> None:
    model, data = copied(folder, tmp_path), (folder / "model.safetensors").read_bytes()
    for number in range(count):
        (model / "model.safetensors").write_bytes(damaged_bytes(data, Random(number)))
        with Bounded(number):
            try_model(model)


@pytest.mark.parametrize("count", MANY)
def test_damaged_tokenizers(count: int, tmp_path: Path) -> None:
    stored = [engine.to_str() for engine in tokenizers()]
    settings = {
        "bos_token": {"content": "<s>", "special": True}, "eos_token": "</s>", "tokenizer_class": "GPT2Tokenizer",
        "chat_template": [{"name": "default", "template": "x"}], "added_tokens_decoder": {"7": {"content": "<s>"}},
    }  # fmt: skip
    for number in range(count):
        rng = Random(number)
        text = stored[number % len(stored)]
        both = {"tokenizer.json": text, "tokenizer_config.json": json.dumps(settings)}
        hurt = rng.choice(["tokenizer.json"] * 3 + ["tokenizer_config.json"])
        for name, good in both.items():
            data = wounded(json.loads(good), good.encode(), rng) if name == hurt else good.encode()
            (tmp_path / name).write_bytes(data)
        with Bounded(number):
            tokenizer = FolderTokenizer(tmp_path)
            for words in ("", "ab cd 12 é😀"):
                with Bounded(number, ValueError):
                    ids, _ = tokenizer.encode(words, goes_on=True)
                    tokenizer.decode(ids)


@pytest.mark.parametrize("count", MANY)
def test_damaged_templates(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_template, "SECONDS", 1)
    good = {"chat_template": TEMPLATE, "bos_token": "<s>"}
    tokenizers()[0].save(str(tmp_path / "tokenizer.json"))
    turns = [Turn("system", "Be \ud800 brief."), Turn("user", "{{ 1 / 0 }}" * 9)]
    rendered = 0
    for number in range(count):
        text = damaged_bytes(TEMPLATE.encode(), Random(number)).decode("utf-8", "replace") if number else TEMPLATE
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(good | {"chat_template": text}))
        with Bounded(number, ValueError):
            rendered += isinstance(FolderTokenizer(tmp_path).chat(turns), str)
    assert 0 < rendered < count


def pack(path: Path) -> bytes:
    """A GGUF file of one layer."""
    writer = gguf.GGUFWriter(path, "llama")
    tokens = list(tokenizers()[0].get_vocab().items())
    words = [word for word, _ in sorted(tokens, key=lambda item: item[1])]
    for add, value in ((writer.add_context_length, 64), (writer.add_embedding_length, 32), (writer.add_block_count, 1),
                       (writer.add_feed_forward_length, 32), (writer.add_head_count, 4), (writer.add_head_count_kv, 4),
                       (writer.add_bos_token_id, 7), (writer.add_eos_token_id, 8)):  # fmt: skip
        add(value)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(words)
    writer.add_token_types([1] * 7 + [3, 3])
    writer.add_token_merges(["a b"])
    sizes: dict[str, tuple[int, ...]] = {"token_embd": (len(words), 32), "output_norm": (32,), "blk.0.attn_norm": (32,)}
    sizes |= {f"blk.0.{name}": (32, 32) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    sizes |= {f"blk.0.{name}": (32, 32) for name in ("ffn_gate", "ffn_up", "ffn_down")} | {"blk.0.ffn_norm": (32,)}
    kind = gguf.GGMLQuantizationType.Q4_0
    for name, size in sizes.items():
        values = np.random.default_rng(0).standard_normal(size).astype(np.float32)
        if len(size) == 2:
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(f"{name}.weight", values)
    writer.add_tensor("rope_freqs.weight", np.ones(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.mark.parametrize("count", MANY)
def test_damaged_gguf_files(count: int, tmp_path: Path) -> None:
    data = pack(tmp_path / "good.gguf")
    head = data.rindex(b"rope_freqs.weight") + 40  # the last tensor's entry ends the head
    (tmp_path / "out").mkdir()
    convert(tmp_path / "good.gguf", tmp_path / "out")
    try_model(tmp_path / "out")
    for number in range(count):
        rng = Random(number)
        # most wounds to the head: those to the numbers are read as other numbers
        hurt = damaged_bytes(data, rng) if number % 4 == 0 else damaged_bytes(data[:head], rng) + data[head:]
        (tmp_path / "hurt.gguf").write_bytes(hurt)
        with Bounded(number):
            convert(tmp_path / "hurt.gguf", tmp_path / "out")
            with Bounded(number):
                try_model(tmp_path / "out")


def copied(folder: Path, target: Path) -> Path:
    for item in folder.iterdir():
        (target / item.name).write_bytes(item.read_bytes())
    return target
