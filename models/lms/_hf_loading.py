"""How a checkpoint of any architecture is put up with transformers: safetensors only, no code of its own, offline."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError

from harness.api.errors import DataError, UsageError
from harness.api.protocols import Setting
from harness.models.lms._gguf import folder_of

# float64 is for comparisons in which rounding is not the subject
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# what a model folder of the hub is fetched for; never code or pickles
WANTED_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
# context of a model whose configuration names none (recurrent ones); lm-eval's value
DEFAULT_CONTEXT = 2048
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len", "context_length")


def folder_for(path: str, revision: str, gguf_file: str) -> Path:
    """The folder with a model's files: the given one, a GGUF file's, or the hub repository's in the local cache.

    A hub repository is downloaded only where the hub is switched on (HF_HUB_OFFLINE is not 1). DataError otherwise.
    """
    given = Path(path).expanduser()
    file = given / gguf_file if gguf_file else given
    if file.suffix == ".gguf":
        if not file.is_file():
            raise DataError(f"lms/hf: {file} does not exist.")
        return folder_of(file)
    if given.is_dir():
        return given
    if given.exists() or path.startswith((".", "/", "~")) or path.count("/") != 1:
        raise DataError(f"path={path}: no model folder is there; give a folder, a .gguf file or a hub id (owner/name).")
    try:
        return Path(snapshot_download(path, revision=revision or None, allow_patterns=WANTED_FILES))
    except LocalEntryNotFoundError as problem:
        raise DataError(
            f"path={path}: no such folder, and the hub's repository is not in the cache. Set HARNESS_SOURCE=hub to "
            f"fetch it, or give a folder."
        ) from problem
    except (HfHubHTTPError, HFValidationError, OSError) as problem:
        raise DataError(f"path={path}: the hub gave nothing ({str(problem).splitlines()[0]}).") from problem


def load_network(folder: Path, setting: Setting, factory: Any, attention: str) -> Any:
    """A transformers model from safetensors, all tensors present, in evaluation mode on the device.

    Errors: DataError for a folder without weights, weights that do not fit the configuration, or code of its own.
    """
    if not any(folder.glob("*.safetensors")):
        pickled = " (a .bin file is a pickle, which is never opened)" if any(folder.glob("*.bin")) else ""
        raise DataError(f"{folder} holds no .safetensors weights{pickled}.")
    # progress bars and advice on standard error would tear the run's own display
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        network, report = factory.from_pretrained(
            folder,
            dtype=dtype_of(setting),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **({"attn_implementation": attention} if attention != "auto" else {}),
        )
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError, ImportError) as problem:
        raise DataError(f"{folder} cannot be loaded: {' '.join(str(problem).split())[:300]}") from problem
    lacking = sorted(report.get("missing_keys", ())) + sorted(map(str, report.get("mismatched_keys", ())))
    if lacking:
        raise DataError(
            f"{folder}: {len(lacking)} tensors are missing or of the wrong shape (first {lacking[0]}); its weights "
            f"do not belong to its config.json."
        )
    return network.to(setting.device).eval()


def dtype_of(setting: Setting) -> torch.dtype:
    """What "auto" means: float32 on a CPU, bfloat16 on a GPU."""
    if setting.dtype != "auto":
        return DTYPES[setting.dtype]
    return torch.float32 if setting.device == "cpu" else torch.bfloat16


def context_of(network: Any, asked: int) -> int:
    """The configuration's context length, or the shorter one that was asked for."""
    config = network.config.get_text_config(decoder=True)
    named = [getattr(config, name, None) for name in CONTEXT_NAMES]
    own = next((int(value) for value in named if isinstance(value, int) and value > 0), 0)
    own = min([own, *_places(network)]) if own else 0
    # a sequence model without positions (T5, Mamba) takes any length
    if asked < 0 or (own and asked > own):
        raise UsageError(f"context_length={asked} is not within the model's own {own}.")
    return asked or own or DEFAULT_CONTEXT


def _places(network: Any) -> list[int]:
    """How many positions each table of positions holds whose first rows stand for padding, as in RoBERTa's families."""
    return [
        table.num_embeddings - table.padding_idx - 1
        for name, table in network.named_modules()
        if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None and "position" in name
    ]


def end_tokens(network: Any, tokenizer_eos: int | None) -> list[int]:
    """Every token that ends a text, by the generation settings, the configuration and the tokenizer."""
    found: set[int] = set() if tokenizer_eos is None else {tokenizer_eos}
    for settings in (network.generation_config, network.config):
        given = getattr(settings, "eos_token_id", None)
        found |= set(given) if isinstance(given, list) else {given} if isinstance(given, int) else set()
    return sorted(found)


def non_finite_layer(network: Any) -> Callable[[Sequence[int]], str]:
    """A function that names the first layer whose output is not finite."""

    @torch.inference_mode()
    def find(tokens: Sequence[int]) -> str:
        ids = torch.tensor([list(tokens)], device=network.device)
        result = network(input_ids=ids, output_hidden_states=True, use_cache=False)
        for number, hidden in enumerate(result.hidden_states):
            if not bool(torch.isfinite(hidden).all()):
                return "the embedding" if number == 0 else f"layer {number} of {len(result.hidden_states) - 1}"
        return "" if bool(torch.isfinite(result.logits).all()) else "the head"

    return find


def parameters(network: Any) -> int:
    """Number of weights, tied ones once."""
    return sum(weight.numel() for weight in network.parameters())
