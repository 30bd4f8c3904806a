"""A GGUF file becomes the model folder that it was made from; a damaged one ends in one line."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from harness.api.errors import DataError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Score, Scored
from harness.models.lms import _gguf
from harness.models.lms._gguf import BLOCK_NAMES, OUTER_NAMES, ROTARY_FACTORS, folder_of
from harness.models.lms._gguf_file import read_gguf
from harness.models.lms._tokenizer import FolderTokenizer
from harness.models.lms.llama import Llama
from harness.sources import DataSources

SETTING = Setting(DataSources(None, online=False))


def permute(rows: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to Llama's query and key rows."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


@pytest.fixture(scope="module")
def place(checkpoint: Callable[..., Path]) -> Path:
    return checkpoint("llama")


Tell = Callable[[gguf.GGUFWriter], object]
KEYS: dict[str, Tell] = {
    "context_length": lambda writer: writer.add_context_length(128),
    "embedding_length": lambda writer: writer.add_embedding_length(32),
    "block_count": lambda writer: writer.add_block_count(2),
    "feed_forward_length": lambda writer: writer.add_feed_forward_length(48),
    "head_count": lambda writer: writer.add_head_count(4),
    "head_count_kv": lambda writer: writer.add_head_count_kv(2),
    "layer_norm_rms_epsilon": lambda writer: writer.add_layer_norm_rms_eps(1e-6),
    "freq_base": lambda writer: writer.add_rope_freq_base(10_000.0),
    "tokenizer.ggml.pre": lambda writer: writer.add_tokenizer_pre("gpt-2"),
    "bos": lambda writer: writer.add_bos_token_id(0),
    "eos": lambda writer: writer.add_eos_token_id(1),
}


def pack(
    place: Path, path: Path, *, merges: bool = True, extra: dict[str, np.ndarray] | None = None, **told: Tell | None
) -> Path:
    """A tiny checkpoint as a GGUF file, written by the gguf library; `told` replaces a key, or leaves it out (None)."""
    writer = gguf.GGUFWriter(path, "llama")
    engine = Tokenizer.from_file(str(place / "tokenizer.json"))
    tokens = [engine.id_to_token(i) for i in range(engine.get_vocab_size())]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if i < 3 else 1 for i in range(len(tokens))])
    if merges:
        writer.add_token_merges([" ".join(merge) for merge in json.loads(engine.to_str())["model"]["merges"]])
    for tell in (KEYS | told).values():
        if tell is not None:
            tell(writer)
    names = {hf: short for short, hf in BLOCK_NAMES.items()} | {hf: short for short, hf in OUTER_NAMES.items()}
    for name, tensor in load_file(place / "model.safetensors").items():
        stem, kind = name.rsplit(".", 1)
        values = tensor.numpy()
        if stem.startswith("model.layers."):
            _, _, block, inner = stem.split(".", 3)
            if inner.endswith(("q_proj", "k_proj")):
                values = permute(values, 4 if "q_proj" in inner else 2)
            writer.add_tensor(f"blk.{block}.{names[inner]}.{kind}", values)
        else:
            writer.add_tensor(f"{names[stem]}.{kind}", values)
    for name, array in (extra or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def packed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(place, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def test_the_converted_folder_holds_the_same_tensors_and_tokens(place: Path, packed: Path) -> None:
    folder = folder_of(packed)
    expected, found = load_file(place / "model.safetensors"), load_file(folder / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    texts = ["The cat  sat, naïve 12 😀", " Question: who?</s>"]
    engines = [Tokenizer.from_file(str(root / "tokenizer.json")) for root in (place, folder)]
    for text in texts:
        assert engines[0].encode(text).ids == engines[1].encode(text).ids
    assert folder_of(packed) == folder


def test_scores_from_the_file_equal_scores_from_the_folder(place: Path, packed: Path) -> None:
    request = Score("The cat sat on", " the mat")
    answers = [Llama(path=path).load(SETTING).score([request], meter=SilentMeter())[0] for path in (place, packed)]
    first, second = answers
    assert isinstance(first, Scored)
    assert isinstance(second, Scored)
    assert first.logprobs == pytest.approx(second.logprobs, abs=1e-6)


@pytest.mark.parametrize("kept", [0, 3, 40, 5_000, -1_000])
def test_a_file_cut_short_is_refused_in_one_line(packed: Path, tmp_path: Path, kept: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(packed.read_bytes()[:kept])
    with pytest.raises(DataError, match="GGUF|cut short") as caught:
        folder_of(cut)
    assert "\n" not in str(caught.value)


def test_fields_and_tensors_are_those_that_the_library_reads(packed: Path) -> None:
    file, theirs = read_gguf(packed), gguf.GGUFReader(packed)
    # the library counts the head itself among the fields
    wanted = {key: field.contents() for key, field in theirs.fields.items() if not key.startswith("GGUF.")}
    assert file.fields == wanted
    assert {name: stored.sizes for name, stored in file.tensors.items()} == {
        item.name: tuple(int(size) for size in reversed(item.shape)) for item in theirs.tensors
    }


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_quantised_tensors_are_what_the_library_dequantises(tmp_path: Path, kind: str) -> None:
    values = np.random.default_rng(0).standard_normal((6, 64)).astype(np.float32)
    number_type = gguf.GGMLQuantizationType[kind]
    stored = gguf.quants.quantize(values, number_type)
    writer = gguf.GGUFWriter(tmp_path / "one.gguf", "llama")
    writer.add_tensor("some.weight", stored, raw_dtype=number_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = read_gguf(tmp_path / "one.gguf").tensors["some.weight"].values()
    assert np.array_equal(found, gguf.quants.dequantize(stored, number_type))
    # no type is coarser than 4 bits: a seventh of the largest number of a block of 32, by half
    assert np.abs(found - values).max() < np.abs(values).max() / 7


def test_rotary_factors_are_applied_as_llama_3_1_means_them(place: Path, tmp_path: Path) -> None:
    rule = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32}  # fmt: skip
    # transformers 4.x keeps the base apart
    apart = {"rope_theta": 500.0, "rope_scaling": {name: rule[name] for name in rule if name != "rope_theta"}}
    said = {"rope_parameters": rule} if hasattr(AutoConfig.from_pretrained(place), "rope_parameters") else apart
    config = AutoConfig.from_pretrained(place, **said)
    network = AutoModelForCausalLM.from_pretrained(place, config=config).eval()
    plain = 500.0 ** (-np.arange(0, 8, 2) / 8)
    # what llama.cpp's converter stores: by how much the rule divides each frequency
    factors = (plain / network.model.rotary_emb.inv_freq.numpy()).astype(np.float32)
    assert factors.min() == pytest.approx(1)
    assert factors.max() == pytest.approx(8)
    path = pack(
        place,
        tmp_path / "m.gguf",
        freq_base=lambda writer: writer.add_rope_freq_base(500.0),
        extra={ROTARY_FACTORS: factors},
    )
    model = Llama(path=path).load(SETTING)
    text = "The cat sat on the mat and the dog ran to the door. Numbers such as 12, 345 and 6 are words"
    [found] = model.score([Score("", text)], meter=SilentMeter())
    ids = [0, *model.tokenizer.encode(text)[0]]
    theirs = AutoModelForCausalLM.from_pretrained(folder_of(path)).eval()
    assert isinstance(found, Scored)
    assert len(ids) == 37  # past the 32 positions that the rule calls trained
    for other in (network, theirs):
        with torch.no_grad():
            law = other(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = [float(law[place, token]) for place, token in enumerate(ids[1:])]
        assert found.logprobs == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    ("pre", "told", "begins"),
    [
        ("gpt-2", None, False),
        ("gpt-2", True, True),
        ("smollm", None, False),
        ("qwen2", None, False),
        ("llama-bpe", None, True),
        ("llama-bpe", False, False),
        ("llama3", None, True),
    ],
)
def test_a_file_that_does_not_say_begins_texts_as_llama_cpp_does(
    place: Path, tmp_path: Path, pre: str, told: bool | None, begins: bool
) -> None:
    add = None if told is None else (lambda writer: writer.add_add_bos_token(told))
    path = pack(
        place, tmp_path / "m.gguf", add_bos=add, **{"tokenizer.ggml.pre": lambda writer: writer.add_tokenizer_pre(pre)}
    )
    ids, _ = FolderTokenizer(folder_of(path)).encode("the cat")
    assert (ids[0] == 0) is begins


def test_llama_3_takes_a_whole_word_before_any_merge(place: Path, tmp_path: Path) -> None:
    found = {}
    for pre in ("gpt-2", "llama-bpe"):
        path = pack(
            place,
            tmp_path / f"{pre}.gguf",
            merges=False,
            one_merge=lambda writer: writer.add_token_merges(["h e"]),
            add_bos=lambda writer: writer.add_add_bos_token(False),
            **{"tokenizer.ggml.pre": lambda writer, pre=pre: writer.add_tokenizer_pre(pre)},
        )
        engine = Tokenizer.from_file(str(folder_of(path) / "tokenizer.json"))
        found[pre] = engine.encode(" the").tokens
    assert found["llama-bpe"] == ["Ġthe"]
    assert found["gpt-2"] == ["Ġ", "t", "he"]


@pytest.mark.parametrize(
    ("key", "told", "said"),
    [
        *[
            (key, None, f"{key} is missing")
            for key in KEYS
            if key not in ("head_count_kv", "freq_base", "bos", "eos", "tokenizer.ggml.pre")
        ],
        ("head_count", lambda writer: writer.add_array("llama.attention.head_count", [4, 4]), "a whole number"),
        ("block_count", lambda writer: writer.add_block_count(3), "num_hidden_layers=3"),
        ("head_count_kv", lambda writer: writer.add_head_count_kv(3), "16 rows; 3 heads of 8"),
        ("eos", lambda writer: writer.add_eos_token_id(320), "eos_token_id is 320"),
        ("freq_base", lambda writer: writer.add_rope_freq_base(float("nan")), "freq_base is nan"),
        ("rope", lambda writer: writer.add_rope_dimension_count(4), "rope.dimension_count is 4"),
        ("rope", lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.YARN), "rotary scaling 'yarn'"),
        ("types", lambda writer: writer.add_array("tokenizer.ggml.token_type", [1]), "token_type"),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_named(
    place: Path, tmp_path: Path, key: str, told: Tell | None, said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        Llama(path=pack(place, tmp_path / "m.gguf", **{key: told})).load(SETTING)
    assert "\n" not in str(caught.value)


def test_a_file_without_merges_and_one_with_foreign_tensors_are_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tokenizer.ggml.merges is missing.*use its safetensors"):
        folder_of(pack(place, tmp_path / "m.gguf", merges=False))
    with pytest.raises(DataError, match="'blk.0.ffn_gate_exps.weight' that is not part of a llama network"):
        folder_of(pack(place, tmp_path / "n.gguf", extra={"blk.0.ffn_gate_exps.weight": np.ones((2, 32), np.float32)}))


def test_an_older_key_for_linear_scaling_is_read(place: Path, tmp_path: Path) -> None:
    path = pack(place, tmp_path / "m.gguf", scale=lambda writer: writer.add_float32("llama.rope.scale_linear", 4.0))
    assert Llama(path=path).load(SETTING).lm.network.shape.rotaries[0].frequencies[0] == 0.25  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_what_killed_conversions_left_is_swept_and_what_runs_is_not(
    packed: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(2):
        child = os.fork()
        if not child:
            monkeypatch.setattr(_gguf, "convert", killed)
            folder_of(packed)
            os._exit(0)
        os.waitpid(child, 0)
    cache = own_cache / "gguf"
    assert len(list(cache.glob(".*.part-*"))) == 1  # the second one swept the first one's
    (cache / ".other-1.part-x").mkdir()
    with FileLock(cache / ".other-1.lock"):
        folder = folder_of(packed)
        assert [item.name for item in cache.glob(".*.part-*")] == [".other-1.part-x"]
    assert (folder / "model.safetensors").stat().st_size > 1000
