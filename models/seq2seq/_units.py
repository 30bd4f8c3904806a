"""How does text become units and back, for models that are trained here? Byte-level pairs or characters, without loss.

Both know every string: byte-level BPE starts from the 256 bytes, and a character that training never saw is spelled in
bytes. Ids 0, 1 and 2 are padding, beginning and end; source and target share one vocabulary.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, BEGIN, END = 0, 1, 2
SPECIAL = 3
Kind = Literal["bpe", "char"]
Spans = list[tuple[int, int]]


class Units(Protocol):
    """A vocabulary with both directions."""

    size: int

    def encode(self, text: str) -> tuple[list[int], Spans]:
        """Ids, and the [start, end) characters that each covers; no special ids."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text; special ids are left out, bytes that are no UTF-8 show replacement characters."""
        ...

    def save(self) -> str:
        """Everything that `load` needs, as JSON."""
        ...


@final
class BytePairs:
    """Byte-level byte-pair encoding (Sennrich et al. 2016, on bytes as in GPT-2)."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.size = SPECIAL + int(tokenizer.get_vocab_size())

    @staticmethod
    def learn(texts: Iterable[str], size: int) -> BytePairs:
        """Merge the most frequent pairs until there are `size` ids, special ones included."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size - SPECIAL,
            min_frequency=2,
            show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        )
        tokenizer.train_from_iterator(texts, trainer)
        return BytePairs(tokenizer)

    def encode(self, text: str) -> tuple[list[int], Spans]:
        """Ids and their characters; a character cut into bytes is covered by each of its ids."""
        # a lone surrogate is no UTF-8, so it travels as the replacement character
        found = self._tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False)
        return [item + SPECIAL for item in found.ids], [(int(start), int(end)) for start, end in found.offsets]

    def decode(self, ids: Sequence[int]) -> str:
        """The text."""
        return str(self._tokenizer.decode([item - SPECIAL for item in ids if item >= SPECIAL]))

    def save(self) -> str:
        """The tokenizer's own JSON."""
        return json.dumps({"kind": "bpe", "tokenizer": json.loads(self._tokenizer.to_str())})


@final
class Characters:
    """One id a character that training saw; others are their UTF-8 bytes."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = tuple(known)
        self._index = {letter: SPECIAL + 256 + place for place, letter in enumerate(self._known)}
        self.size = SPECIAL + 256 + len(self._known)

    @staticmethod
    def learn(texts: Iterable[str], size: int) -> Characters:
        """The most frequent characters, at most as many as fit."""
        counts = Counter(letter for text in texts for letter in text)
        ranked = sorted(counts, key=lambda letter: (-counts[letter], letter))
        return Characters(sorted(ranked[: max(0, size - SPECIAL - 256)]))

    def encode(self, text: str) -> tuple[list[int], Spans]:
        """Ids and their characters."""
        ids: list[int] = []
        spans: Spans = []
        for place, letter in enumerate(text):
            known = self._index.get(letter)
            found = [SPECIAL + byte for byte in letter.encode("utf-8", "replace")] if known is None else [known]
            ids += found
            spans += [(place, place + 1)] * len(found)
        return ids, spans

    def decode(self, ids: Sequence[int]) -> str:
        """The text."""
        return b"".join(self._bytes(item) for item in ids).decode("utf-8", "replace")

    def save(self) -> str:
        """The characters."""
        return json.dumps({"kind": "char", "known": self._known})

    def _bytes(self, item: int) -> bytes:
        if item < SPECIAL:
            return b""
        if item < SPECIAL + 256:
            return bytes([item - SPECIAL])
        return self._known[item - SPECIAL - 256].encode("utf-8", "replace")


def load(text: str) -> Units:
    """The inverse of `save`."""
    stored = json.loads(text)
    if stored["kind"] == "char":
        return Characters(stored["known"])
    return BytePairs(Tokenizer.from_str(json.dumps(stored["tokenizer"])))


def learned(kind: Kind, texts: Iterable[str], size: int, folder: Path | None) -> Units:
    """The vocabulary of a fit: the one that an earlier session of the same fit left in the folder, else a new one."""
    file = folder / "units.json" if folder else None
    if file is not None and file.exists():
        return load(file.read_text(encoding="utf-8"))
    units: Units = (BytePairs if kind == "bpe" else Characters).learn(texts, size)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(units.save(), encoding="utf-8")
        os.replace(part, file)
    return units
