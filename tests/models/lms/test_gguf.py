"""A GGUF file becomes the model folder that it was made from; a damaged one ends in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from harness.api.errors import DataError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Score, Scored
from harness.models.lms._gguf import BLOCK_NAMES, OUTER_NAMES, folder_of
from harness.models.lms.llama import Llama
from harness.sources import DataSources

SETTING = Setting(DataSources(None, online=False))


def permute(rows: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to Llama's query and key rows."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


@pytest.fixture(scope="module")
def place(checkpoint: Callable[..., Path]) -> Path:
    return checkpoint("llama")


@pytest.fixture(scope="module")
def packed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint as a GGUF file, written by the gguf library."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    engine = Tokenizer.from_file(str(place / "tokenizer.json"))
    tokens = [engine.id_to_token(i) for i in range(engine.get_vocab_size())]
    merges = __import__("json").loads(engine.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if i < 3 else 1 for i in range(len(tokens))])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
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
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


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
