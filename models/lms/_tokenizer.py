"""How does text become token ids and back? The checkpoint's own fast tokenizer and chat template, without transformers.

Importing transformers costs 2.6 s of CPU; `tokenizers` alone costs 0.1 s, and it is the same Rust code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, final

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer as Engine

from harness.api.errors import DataError
from harness.api.types import Turn


class TextTokenizer(Protocol):
    """What the text adapter asks of a tokenizer."""

    bos: int | None
    eos: int | None
    template: str  # chat template, empty when there is none
    vocabulary: int

    def encode(self, text: str, *, special: bool = True) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids, and the characters [start, end) that each covers; `special` adds what the model always adds."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Text without special tokens."""
        ...

    def chat(self, turns: Sequence[Turn]) -> str:
        """The conversation in the model's own template, ready for the assistant's answer; ValueError if it cannot."""
        ...


@final
class FolderTokenizer:
    """The tokenizer of a model folder: `tokenizer.json` and `tokenizer_config.json`."""

    def __init__(self, folder: Path) -> None:
        self._engine = _engine(folder)
        self._engine.no_truncation()
        self._engine.no_padding()
        config = _json(folder / "tokenizer_config.json")
        self._config = config
        self.template = _template(folder, config)
        self.bos = self._special("bos_token")
        self.eos = self._special("eos_token")
        self.vocabulary = self._engine.get_vocab_size()
        self._compiled: Any = None

    def encode(self, text: str, *, special: bool = True) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and character spans; ValueError for text that is not Unicode (a lone surrogate)."""
        try:
            text.encode()
        except UnicodeEncodeError as problem:
            raise ValueError(f"the text holds a lone surrogate at character {problem.start}") from problem
        encoding = self._engine.encode(text, add_special_tokens=special)
        return list(encoding.ids), list(encoding.offsets)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text without special tokens."""
        return str(self._engine.decode(list(tokens), skip_special_tokens=True))

    def chat(self, turns: Sequence[Turn]) -> str:
        """The rendered conversation; ValueError when there is no template or it refuses the turns."""
        if not self.template:
            raise ValueError("the model has no chat template; give a plain prompt, or a model that has one")
        if self._compiled is None:
            sandbox = ImmutableSandboxedEnvironment(
                trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
            )
            sandbox.globals["raise_exception"] = _refuse
            self._compiled = sandbox.from_string(self.template)
        tokens = {key: _content(self._config.get(key)) for key in ("bos_token", "eos_token", "pad_token", "unk_token")}
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        try:
            return str(self._compiled.render(messages=messages, add_generation_prompt=True, **tokens))
        except TemplateError as problem:
            raise ValueError(f"the model's chat template refuses this conversation: {problem}") from problem

    def _special(self, key: str) -> int | None:
        text = _content(self._config.get(key))
        found = self._engine.token_to_id(text) if text else None
        return None if found is None else int(found)


def _engine(folder: Path) -> Engine:
    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            return Engine.from_file(str(path))
        except Exception as problem:  # the Rust library raises Exception itself
            raise DataError(f"{path} is not a tokenizer file ({problem}).") from problem
    # a slow tokenizer (SentencePiece model, vocab.json + merges.txt): transformers knows how to convert it
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
    except (OSError, ValueError, AttributeError) as problem:
        raise DataError(f"{folder} holds no tokenizer that can be read: {problem}") from problem


def _template(folder: Path, config: Mapping[str, Any]) -> str:
    separate = folder / "chat_template.jinja"
    if separate.is_file():
        return separate.read_text(encoding="utf-8")
    template = config.get("chat_template") or ""
    if isinstance(template, list):
        # several named templates; the one that transformers takes when none is named
        return next((str(item["template"]) for item in template if item.get("name") == "default"), "")
    return str(template)


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} is not valid JSON ({problem}); fetch the model again.") from problem
    return dict(loaded)
