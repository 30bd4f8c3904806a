"""What lies in a model folder? Config, tensors and a digest of an ordinary `save_pretrained` folder (safetensors)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harness.api.errors import DataError
from harness.models.lms._json_file import read_object

EMBEDDING = "embed_tokens.weight"
TEXT_FILES = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "generation_config.json"),
    # what a slow tokenizer is made of
    *("vocab*", "merges.txt", "*.model"),
)


def read_config(folder: Path) -> Mapping[str, Any]:
    """`config.json`, with the end tokens of `generation_config.json`; DataError when missing or broken."""
    config = read_object(folder / "config.json", required=True)
    generation = read_object(folder / "generation_config.json", required=False)
    if generation.get("eos_token_id") is not None:
        config["eos_token_id"] = generation["eos_token_id"]
    return config


@final
class Tensors:
    """The tensors of a folder by the names of a plain language model (`model.layers.0....`, `lm_head.weight`).

    Files are mapped, so that only what is asked for is read. Some exports drop the prefix `model.`, some
    (vision-language) put another before it; what lies outside the language model is not listed.

    Errors: DataError when no weights are there, a file is cut short, or a tensor lies in two files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise DataError(
                f"{folder} holds no .safetensors weights; save the model with safe_serialization, or fetch it."
            )
        self._owner: dict[str, tuple[Any, str]] = {}
        held: dict[str, tuple[Any, str]] = {}
        for file in files:
            try:
                opened = safe_open(file, framework="pt")
                names = list(opened.keys())
            except (SafetensorError, OSError) as problem:
                raise DataError(f"{file} is damaged or cut short ({problem}); fetch it again.") from problem
            for name in names:
                if name in held:
                    raise DataError(f"{name} lies both in {held[name][1]} and in {file.name}; keep one of them.")
                held[name] = (opened, file.name)
        prefix = _prefix(folder, held)
        for name, (opened, _) in held.items():
            if name.startswith(prefix) and not name.endswith("lm_head.weight"):
                self._owner["model." + name.removeprefix(prefix)] = (opened, name)
            elif name.endswith("lm_head.weight"):
                self._owner["lm_head.weight"] = (opened, name)

    @property
    def names(self) -> Sequence[str]:
        """What the language model holds."""
        return list(self._owner)

    def form(self, name: str) -> tuple[tuple[int, ...], str]:
        """Sizes and number type (`F32`, `BF16`, ...) of a tensor, without reading it."""
        opened, own = self._found(name)
        part = opened.get_slice(own)
        return tuple(part.get_shape()), str(part.get_dtype())

    def read(self, name: str, dtype: torch.dtype, device: str) -> Tensor:
        """The values; DataError when there is no such tensor."""
        opened, own = self._found(name)
        return opened.get_tensor(own).to(device=device, dtype=dtype)

    def _found(self, name: str) -> tuple[Any, str]:
        if name not in self._owner:
            raise DataError(f"{self._folder} has no tensor {name!r}; its weights do not belong to its config.")
        return self._owner[name]


def text_digest(folder: Path) -> str:
    """What decides which tokens a text becomes and where an answer ends: sha256 of those files, and of their names."""
    files = sorted({file for pattern in TEXT_FILES for file in folder.glob(pattern) if file.is_file()})
    names = "\n".join(file.name for file in files)
    return hashlib.sha256(f"{names}\n{digest(*files)}".encode()).hexdigest()


def _prefix(folder: Path, names: Collection[str]) -> str:
    """What stands before `embed_tokens.weight` of the language model."""
    found = [name.removesuffix(EMBEDDING) for name in names if name.endswith(EMBEDDING)]
    plain = [prefix for prefix in found if prefix in ("model.", "") or "language_model" in prefix]
    if len(plain) != 1:
        raise DataError(
            f"{folder} holds {len(plain)} tensors that could be the embedding of a language model "
            f"({', '.join(found)[:200] or 'none is named ' + EMBEDDING}); one was expected."
        )
    return plain[0]


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
