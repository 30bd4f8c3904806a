"""What is the simplest tokenizer that reads every text? One token a byte of UTF-8, and one for the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from harness.api.types import Turn

END = 256


@final
class ByteTokenizer:
    """Bytes are their own ids; 256 ends a text. There is no beginning-of-text token and no chat template."""

    bos: int | None = None
    eos: int | None = END
    template: str = ""
    vocabulary: int = 257

    def encode(
        self, text: str, *, special: bool = True, goes_on: bool = False
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and the character that each byte belongs to; ValueError for a lone surrogate."""
        try:
            text.encode()
        except UnicodeEncodeError as problem:
            raise ValueError(f"the text holds a lone surrogate at character {problem.start}") from problem
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        for place, letter in enumerate(text):
            codes = letter.encode()
            ids += codes
            spans += [(place, place + 1)] * len(codes)
        return ids, spans

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of the bytes; what is no UTF-8 becomes a replacement character."""
        return bytes(token for token in tokens if token < END).decode("utf-8", "replace")

    def chat(self, turns: Sequence[Turn]) -> str:
        """There is no template."""
        raise ValueError("a model of bytes has no chat template; give a plain prompt")
