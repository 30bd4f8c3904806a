"""Tiny random checkpoints in ordinary model folders, written by transformers itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 320
TEXT = [
    "The cat sat on the mat and the dog ran to the door.",
    "Numbers such as 12, 345 and 6 are words; so is naïve.",
    "Question: who? Answer: nobody. A. one B. two C. three D. four",
]


def _tokenizer(folder: Path, *, specials: bool = True, adds_bos: bool = False, adds_eos: bool = False) -> None:
    """Byte-level BPE; without `specials` there is no BOS, EOS or PAD at all."""
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    names = ["<s>", "</s>", "<pad>"] if specials else []
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=names, initial_alphabet=alphabet)
    engine.train_from_iterator(TEXT, trainer)
    if adds_bos or adds_eos:
        single = ("<s> " if adds_bos else "") + "$A" + (" </s>" if adds_eos else "")
        engine.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[("<s>", engine.token_to_id("<s>")), ("</s>", engine.token_to_id("</s>"))]
        )
    given = dict(zip(("bos_token", "eos_token", "pad_token"), names, strict=False))
    PreTrainedTokenizerFast(tokenizer_object=engine, **given).save_pretrained(folder)


SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": SIZES | {"head_dim": 8, "num_key_value_heads": 2},
    "mistral": SIZES | {"head_dim": 8, "num_key_value_heads": 2, "sliding_window": 6},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "time_step_rank": 4},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "context_length": 128},
    "bart": {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 128,
        "forced_eos_token_id": None,
    },
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 2},
}  # fmt: skip


def _checkpoint(
    path: Path, kind: str, seed: int = 0, *, scale: float = 4.0, config: Mapping[str, Any] | None = None, **tokens: bool
) -> Path:
    """A model folder of the kind; `scale` sharpens the random weights, so that arg-maxima are no near ties.

    `config` replaces the sizes of `CONFIGS`.
    """
    torch.manual_seed(seed)
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    settings = {"max_position_embeddings": 128} if kind in ("llama", "mistral") else {}
    sizes = settings | (CONFIGS[kind] if config is None else dict(config))
    made = transformers.AutoConfig.for_model(kind, **(ends | {"vocab_size": VOCABULARY} | sizes))
    factory = transformers.AutoModelForSeq2SeqLM if made.is_encoder_decoder else transformers.AutoModelForCausalLM
    network = factory.from_config(made).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            # the logarithm of a decay, of which four times as much forgets everything at once
            if weight.dim() > 1 and not name.endswith("A_log"):
                weight *= scale
    network.save_pretrained(path)
    _tokenizer(path, **tokens)
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a tiny random model: `folder = checkpoint("llama")`; keywords choose the tokenizer's special tokens."""

    def write(kind: str, **settings: Any) -> Path:
        return _checkpoint(tmp_path_factory.mktemp(kind), kind, **settings)

    return write
