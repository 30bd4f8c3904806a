"""How does text become token ids and back? The checkpoint's own fast tokenizer and chat template, without transformers.

Importing transformers costs seconds of CPU; `tokenizers` alone is the same Rust code and costs a fraction of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, final

from tokenizers import Tokenizer as Engine

from harness.api.errors import DataError
from harness.api.types import Turn
from harness.models.lms._json_file import read_object
from harness.models.lms._template import Template
from harness.models.lms._tokenizer_file import asked, one_line, refuse_what_panics

# what templates may name, as transformers passes it
NAMED_TOKENS = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
# texts of which a tokenizer is likely to know one
PROBES = ("a", "0", ".", "Hello")


class TextTokenizer(Protocol):
    """What the text adapter asks of a tokenizer."""

    bos: int | None
    eos: int | None
    template: str  # chat template, empty when there is none
    vocabulary: int

    def encode(
        self, text: str, *, special: bool = True, goes_on: bool = False
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids, and the characters [start, end) that each covers; ValueError for text that cannot be read.

        `special` adds what the model always adds; of that, a text that `goes_on` gets what comes before it alone.
        """
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
        config = _with_map(folder, read_object(folder / "tokenizer_config.json", required=False))
        self.template = _template(folder, config)
        self._named = {key: _content(config[key]) for key in NAMED_TOKENS if config.get(key)}
        self.bos = self._special("bos_token")
        self.eos = self._special("eos_token")
        self.vocabulary = int(self._engine.get_vocab_size())
        self._after = self._added_after()
        self._compiled = Template(self.template)

    def encode(
        self, text: str, *, special: bool = True, goes_on: bool = False
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and character spans; ValueError for text that is not Unicode (a lone surrogate) or cannot be spelled."""
        try:
            text.encode()
        except UnicodeEncodeError as problem:
            raise ValueError(f"the text holds a lone surrogate at character {problem.start}") from problem
        encoding = asked(lambda: self._engine.encode(text, add_special_tokens=special))
        ids, spans = list(encoding.ids), list(encoding.offsets)
        if special and goes_on and self._after:
            ids, spans = ids[: -self._after], spans[: -self._after]
        return ids, spans

    def decode(self, tokens: Sequence[int]) -> str:
        """Text without special tokens."""
        return str(asked(lambda: self._engine.decode(list(tokens), skip_special_tokens=True)))

    def chat(self, turns: Sequence[Turn]) -> str:
        """The rendered conversation; ValueError when there is no template or it refuses the turns."""
        if not self.template:
            raise ValueError("the model has no chat template; give a plain prompt, or a model that has one")
        return self._compiled.render([{"role": turn.role, "content": turn.text} for turn in turns], self._named)

    def _special(self, key: str) -> int | None:
        text = self._named.get(key, "")
        try:
            found = self._engine.token_to_id(text) if text else None
        except UnicodeEncodeError as problem:
            raise DataError(f"the tokenizer's {key} is {text[:60]!r}, which is no Unicode text.") from problem
        return None if found is None else int(found)

    def _added_after(self) -> int:
        """How many tokens (EOS, a separator) the tokenizer puts behind every text."""
        for text in PROBES:
            added = list(asked(partial(self._engine.encode, text)).special_tokens_mask)
            if not all(added):
                return added[::-1].index(0)
        return 0


def _engine(folder: Path) -> Engine:
    path = folder / "tokenizer.json"
    if path.is_file():
        refuse_what_panics(path)
        try:
            engine = asked(lambda: Engine.from_file(str(path)))
            engine.no_truncation()
            engine.no_padding()
            # what a file lacks is often found out at the first text only
            asked(lambda: engine.encode("a"))
        except ValueError as problem:
            raise DataError(f"{path} is not a tokenizer file that can be used ({problem}).") from problem
        return engine
    # a slow tokenizer (SentencePiece model, vocab.json + merges.txt): transformers knows how to convert it
    from transformers import AutoTokenizer

    try:
        return asked(lambda: AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer)
    except (OSError, ValueError, AttributeError) as problem:
        raise DataError(f"{folder} holds no tokenizer that can be read: {one_line(problem)}") from problem


def _with_map(folder: Path, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration with the special tokens of `special_tokens_map.json`, as far as transformers reads it."""
    if "added_tokens_decoder" in config:
        return config
    return {**config, **read_object(folder / "special_tokens_map.json", required=False)}


def _template(folder: Path, config: Mapping[str, Any]) -> str:
    separate = folder / "chat_template.jinja"
    if separate.is_file():
        try:
            return separate.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise DataError(f"{separate} cannot be read as text ({problem}).") from problem
    template = config.get("chat_template") or ""
    if isinstance(template, list):
        # several named templates; the one that transformers takes when none is named
        named = [item for item in template if isinstance(item, Mapping) and item.get("name") == "default"]
        template = named[0].get("template", "") if named else ""
    if not isinstance(template, str):
        raise DataError(
            f"{folder / 'tokenizer_config.json'}: chat_template is {type(template).__name__}, no text or list of texts."
        )
    return template


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token)
