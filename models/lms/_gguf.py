"""How does a GGUF file become an ordinary model folder? Dequantised once, kept in the cache by digest.

The folder is what `save_pretrained` would have written, so that transformers and lm-eval can open it too.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from harness.api.errors import DataError
from harness.models.lms._folder import digest
from harness.models.lms._gguf_file import Array, Gguf, read_gguf
from harness.models.lms._gguf_tokenizer import write_tokenizer
from harness.models.lms._settings import Settings

# raised when the conversion below changes what it writes
REVISION = 2

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

# a factor for each pair of a head, by which its frequency is divided: Llama 3.1 and later
ROTARY_FACTORS = "rope_freqs.weight"


def folder_of(path: Path) -> Path:
    """The cached model folder of a GGUF file, converted on first use; DataError when the file is damaged.

    Two processes convert it once. What a killed conversion left is swept by the next one, of whatever file.
    """
    target = cache_root() / "gguf" / f"{path.stem}-{digest(path)[:16]}-{REVISION}"
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        with FileLock(_lock(target)):
            if not target.is_dir():
                _build(path, target)
    except (OSError, SafetensorError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise DataError(
            f"the cache folder {target.parent} cannot be written ({why}); "
            "free some space there, or set HARNESS_CACHE to a folder that can."
        ) from problem
    return target


def convert(path: Path, folder: Path) -> None:
    """Write config, tokenizer and float32 tensors of a GGUF file into an empty folder."""
    file = read_gguf(path)
    fields = Settings(file.fields, source=str(path), remedy="convert the model anew, or use its safetensors")
    config = _config(path, fields, file)
    tensors = _tensors(path, file, config)
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    (folder / "generation_config.json").write_text(
        json.dumps({key: config[key] for key in ("bos_token_id", "eos_token_id")}), encoding="utf-8"
    )
    write_tokenizer(path, folder, fields)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _build(path: Path, target: Path) -> None:
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.part-"))
    try:
        convert(path, scratch)
        scratch.chmod(0o755)
        os.replace(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sweep(cache: Path) -> None:
    """Remove the scratch folders whose lock nobody holds: their process was killed."""
    for stale in cache.glob(".*.part-*"):
        target = cache / stale.name.rpartition(".part-")[0].removeprefix(".")
        with contextlib.suppress(Timeout), FileLock(_lock(target), blocking=False):
            shutil.rmtree(stale, ignore_errors=True)


def _lock(target: Path) -> Path:
    return target.parent / f".{target.name}.lock"


def _config(path: Path, fields: Settings, file: Gguf) -> dict[str, Any]:
    name = fields.word("general.architecture", "")
    if name not in ARCHITECTURES:
        raise DataError(f"{path} holds a {name!r} network; GGUF is read for {', '.join(ARCHITECTURES)}.")
    heads, width = fields.whole(f"{name}.attention.head_count"), fields.whole(f"{name}.embedding_length")
    head_width = fields.whole(f"{name}.attention.key_length", max(1, width // heads))
    tokens = fields.texts("tokenizer.ggml.tokens")
    config = {
        "model_type": ARCHITECTURES[name],
        "architectures": [HF_CLASSES[name]],
        "vocab_size": len(tokens),
        "hidden_size": width,
        "intermediate_size": fields.whole(f"{name}.feed_forward_length"),
        "num_hidden_layers": fields.whole(f"{name}.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": fields.whole(f"{name}.attention.head_count_kv", heads),
        "head_dim": head_width,
        "max_position_embeddings": fields.whole(f"{name}.context_length"),
        "rms_norm_eps": round(fields.number(f"{name}.attention.layer_norm_rms_epsilon"), 12),
        "rope_theta": fields.number(f"{name}.rope.freq_base", 10_000.0),
        "hidden_act": "silu",
        "bos_token_id": fields.given.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": fields.given.get("tokenizer.ggml.eos_token_id"),
        "torch_dtype": "float32",
    }
    if fields.whole(f"{name}.rope.dimension_count", head_width) != head_width:
        raise fields.refused(f"{name}.rope.dimension_count", f"heads are turned whole here ({head_width})")
    scaling = _scaling(path, name, fields, file, config)
    return config | ({"rope_scaling": scaling} if scaling else {})


def _scaling(path: Path, name: str, fields: Settings, file: Gguf, config: dict[str, Any]) -> dict[str, Any]:
    """The rotary scaling that `config.json` is to name; empty for none."""
    kind = fields.word(f"{name}.rope.scaling.type", "linear")
    if kind not in ("none", "linear"):
        raise DataError(f"{path} uses rotary scaling {kind!r}, which is not read from GGUF; use its safetensors.")
    # files of 2023 have the older key; 0 stands for none
    factor = fields.number(f"{name}.rope.scaling.factor", 0.0, above=-1.0, least=0.0)
    factor = factor or fields.number(f"{name}.rope.scale_linear", 0.0, above=-1.0, least=0.0) or 1.0
    stored = file.tensors.get(ROTARY_FACTORS)
    if stored is None:
        return {"rope_type": "linear", "factor": factor} if kind == "linear" and factor != 1.0 else {}
    if kind == "linear" and factor != 1.0:
        raise DataError(f"{path} has both {ROTARY_FACTORS} and a linear rotary scaling; use its safetensors.")
    values = _values(path, ROTARY_FACTORS, file).ravel().tolist()
    # the file holds no rule, only what it comes to; as two equal lists transformers can read that
    return {
        "rope_type": "longrope",
        "short_factor": values,
        "long_factor": values,
        "factor": 1.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": config["max_position_embeddings"],
    }


def _tensors(path: Path, file: Gguf, config: dict[str, Any]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for item in file.tensors:
        if item == ROTARY_FACTORS:
            continue
        stem, _, kind = item.rpartition(".")
        block = stem.split(".")
        if stem in OUTER_NAMES:
            name = f"{OUTER_NAMES[stem]}.{kind}"
        elif len(block) == 3 and block[0] == "blk" and block[1].isdecimal() and block[2] in BLOCK_NAMES:
            name = f"model.layers.{block[1]}.{BLOCK_NAMES[block[2]]}.{kind}"
        else:
            raise DataError(
                f"{path} holds a tensor {item[:80]!r} that is not part of a {config['model_type']} network."
            )
        values = _values(path, item, file)
        if config["model_type"] == "llama" and block[-1] in ("attn_q", "attn_k"):
            heads = config["num_attention_heads" if block[-1] == "attn_q" else "num_key_value_heads"]
            if values.shape[0] != heads * config["head_dim"]:
                raise DataError(
                    f"{path}: {item} has {values.shape[0]} rows; {heads} heads of {config['head_dim']} were expected."
                )
            values = _unpermute(values, heads)
        found[name] = torch.from_numpy(np.array(values, copy=True))
    return found


def _values(path: Path, name: str, file: Gguf) -> Array:
    try:
        return file.tensors[name].values()
    except ValueError as problem:
        raise DataError(f"{path}: tensor {name[:80]!r} cannot be read ({problem}).") from problem


def _unpermute(rows: Array, heads: int) -> Array:
    """GGUF keeps Llama's rotary pairs side by side; model folders keep the two halves of a head apart."""
    pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def cache_root() -> Path:
    chosen = os.environ.get("HARNESS_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "seqharness"
