"""What lies in a model folder? Config, tensors and a digest of an ordinary `save_pretrained` folder (safetensors)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harness.api.errors import DataError
from harness.models.lms._json_file import read_object


def read_config(folder: Path) -> Mapping[str, Any]:
    """`config.json`, with the end tokens of `generation_config.json`; DataError when missing or broken."""
    config = read_object(folder / "config.json", required=True)
    generation = read_object(folder / "generation_config.json", required=False)
    if generation.get("eos_token_id") is not None:
        config["eos_token_id"] = generation["eos_token_id"]
    return config


def tensor_reader(folder: Path, dtype: torch.dtype, device: str) -> Callable[[str], Tensor]:
    """A function from a tensor's name to its values; files are mapped, so that only what is asked for is read.

    Errors: DataError when no weights are there, a file is cut short, or a name is missing.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DataError(f"{folder} holds no .safetensors weights; save the model with safe_serialization, or fetch it.")
    opened, owner = [], {}
    for file in files:
        try:
            opened.append(safe_open(file, framework="pt"))
        except (SafetensorError, OSError) as problem:
            raise DataError(f"{file} is damaged or cut short ({problem}); fetch it again.") from problem
        owner.update(dict.fromkeys(opened[-1].keys(), opened[-1]))

    def tensor(name: str) -> Tensor:
        source = owner.get(name)
        if source is None and name.startswith("model."):
            # some exports drop the prefix, some (vision-language) put another before it
            shorter = name.removeprefix("model.")
            match = next((key for key in owner if key == shorter or key.endswith("language_model." + name)), None)
            source, name = (owner.get(match), match) if match else (None, name)
        if source is None:
            raise DataError(f"{folder} has no tensor {name!r}; its weights do not belong to its config.")
        return source.get_tensor(name).to(device=device, dtype=dtype)  # type: ignore[no-any-return]

    return tensor


def digest(*files: Path) -> str:
    """sha256 over the bytes of some files, in the order given."""
    total = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    total.update(block)
        except OSError as problem:
            raise DataError(f"{file} cannot be read ({problem.strerror}).") from problem
    return total.hexdigest()


def weights_digest(path: Path) -> str:
    """What identifies a model: sha256 of its GGUF file, or of its config and safetensors."""
    if path.is_file():
        return digest(path)
    return digest(path / "config.json", *sorted(path.glob("*.safetensors")))
