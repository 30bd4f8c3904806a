"""How does a GGUF file become an ordinary model folder? Dequantised once, kept in the cache by digest.

The folder is what `save_pretrained` would have written, so that transformers and lm-eval can open it too.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor

from harness.api.errors import DataError
from harness.models.lms._folder import digest

# raised when the conversion below changes what it writes
REVISION = 1

ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
HF_CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}

GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
# what the file's `tokenizer.ggml.pre` names; digits=True puts every digit apart first
SPLITS = {
    "default": (GPT2_SPLIT, False),
    "gpt-2": (GPT2_SPLIT, False),
    "smollm": (GPT2_SPLIT, True),
    "llama-bpe": (LLAMA3_SPLIT, False),
    "llama3": (LLAMA3_SPLIT, False),
    "qwen2": (QWEN2_SPLIT, False),
}
CONTROL, USER_DEFINED = 3, 4  # token types


def folder_of(path: Path) -> Path:
    """The cached model folder of a GGUF file, converted on first use; DataError when the file is cut short."""
    target = cache_root() / "gguf" / f"{path.stem}-{digest(path)[:16]}-{REVISION}"
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as problem:
        raise DataError(
            f"the cache folder {target.parent} cannot be written ({problem.strerror}); "
            "set HARNESS_CACHE to a folder that can."
        ) from problem
    try:
        convert(path, scratch)
        scratch.chmod(0o755)
        if not target.is_dir():
            os.replace(scratch, target)
    except OSError as problem:
        # another process may have finished the same folder first
        if not target.is_dir():
            raise DataError(f"{target} cannot be written ({problem.strerror}); free some space.") from problem
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def convert(path: Path, folder: Path) -> None:
    """Write config, tokenizer and float32 tensors of a GGUF file into an empty folder."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        fields = {key: field.contents() for key, field in reader.fields.items()}
    except (ValueError, IndexError, KeyError, EOFError, OverflowError, UnicodeDecodeError, struct.error) as problem:
        raise DataError(f"{path} is not a whole GGUF file ({problem}); fetch it again.") from problem
    size = path.stat().st_size
    needed = max((int(item.data_offset) + int(item.n_bytes) for item in reader.tensors), default=0)
    if needed > size:
        raise DataError(f"{path} is cut short: {size} bytes of {needed}; fetch it again.")
    config = _config(path, fields)
    tensors = _tensors(path, reader, config)
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    (folder / "generation_config.json").write_text(
        json.dumps({key: config[key] for key in ("bos_token_id", "eos_token_id")}), encoding="utf-8"
    )
    _write_tokenizer(path, folder, fields)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _config(path: Path, fields: dict[str, Any]) -> dict[str, Any]:
    name = str(fields.get("general.architecture", ""))
    if name not in ARCHITECTURES:
        raise DataError(f"{path} holds a {name!r} network; GGUF is read for {', '.join(ARCHITECTURES)}.")
    scaling = fields.get(f"{name}.rope.scaling.type", "none")
    if scaling not in ("none", "linear"):
        raise DataError(f"{path} uses rotary scaling {scaling!r}, which is not read from GGUF; use its safetensors.")
    heads = int(fields[f"{name}.attention.head_count"])
    width = int(fields[f"{name}.embedding_length"])
    config = {
        "model_type": ARCHITECTURES[name],
        "architectures": [HF_CLASSES[name]],
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": width,
        "intermediate_size": int(fields[f"{name}.feed_forward_length"]),
        "num_hidden_layers": int(fields[f"{name}.block_count"]),
        "num_attention_heads": heads,
        "num_key_value_heads": int(fields.get(f"{name}.attention.head_count_kv", heads)),
        "head_dim": int(fields.get(f"{name}.attention.key_length", width // heads)),
        "max_position_embeddings": int(fields[f"{name}.context_length"]),
        "rms_norm_eps": round(float(fields[f"{name}.attention.layer_norm_rms_epsilon"]), 12),
        "rope_theta": float(fields.get(f"{name}.rope.freq_base", 10_000.0)),
        "hidden_act": "silu",
        "bos_token_id": fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": fields.get("tokenizer.ggml.eos_token_id"),
        "torch_dtype": "float32",
    }
    if scaling == "linear":
        config["rope_scaling"] = {"rope_type": "linear", "factor": float(fields[f"{name}.rope.scaling.factor"])}
    return config


def _tensors(path: Path, reader: Any, config: dict[str, Any]) -> dict[str, Tensor]:
    from gguf.quants import dequantize

    found: dict[str, Tensor] = {}
    for item in reader.tensors:
        stem, _, kind = item.name.rpartition(".")
        block = stem.split(".")
        if stem in OUTER_NAMES:
            name = f"{OUTER_NAMES[stem]}.{kind}"
        elif block[0] == "blk" and block[2] in BLOCK_NAMES:
            name = f"model.layers.{block[1]}.{BLOCK_NAMES[block[2]]}.{kind}"
        else:
            raise DataError(
                f"{path} holds a tensor {item.name!r} that is not part of a {config['model_type']} network."
            )
        values = np.asarray(dequantize(item.data, item.tensor_type), dtype=np.float32)
        if config["model_type"] == "llama" and block[-1] in ("attn_q", "attn_k"):
            heads = config["num_attention_heads" if block[-1] == "attn_q" else "num_key_value_heads"]
            values = _unpermute(values, heads)
        found[name] = torch.from_numpy(np.array(values, copy=True))
    return found


def _unpermute(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """GGUF keeps Llama's rotary pairs side by side; model folders keep the two halves of a head apart."""
    pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def _write_tokenizer(path: Path, folder: Path, fields: dict[str, Any]) -> None:
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    split = SPLITS.get(str(fields.get("tokenizer.ggml.pre", "default")))
    if fields.get("tokenizer.ggml.model") != "gpt2" or split is None:
        _write_foreign_tokenizer(path, folder)
        return
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    engine = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    pattern, digits = split
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    steps.append(pre_tokenizers.Split(Regex(pattern), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    engine.pre_tokenizer = pre_tokenizers.Sequence(steps)  # type: ignore[assignment]
    engine.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    kinds = fields.get("tokenizer.ggml.token_type", [])
    engine.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, kinds) if kind == CONTROL]  # noqa: B905 - older files have no types
    )
    engine.add_tokens(
        [AddedToken(token, normalized=False) for token, kind in zip(tokens, kinds) if kind == USER_DEFINED]  # noqa: B905
    )
    named = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for key, word in named.items():
        index = fields.get(f"tokenizer.ggml.{word}_token_id")
        if index is not None:
            config[f"{key}_token"] = tokens[index]
    if fields.get("tokenizer.ggml.add_bos_token") and "bos_token" in config:
        bos = config["bos_token"]
        engine.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokens.index(bos))]
        )
    config["chat_template"] = fields.get("tokenizer.chat_template", "")
    engine.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _write_foreign_tokenizer(path: Path, folder: Path) -> None:
    """SentencePiece and unknown splits: transformers knows how to read them from the file."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True).save_pretrained(folder)


def cache_root() -> Path:
    chosen = os.environ.get("HARNESS_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "seqharness"
