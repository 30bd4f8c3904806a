"""How a text becomes the symbols of the n-gram model and back: whole words where known, bytes where not.

A piece is a word with at most one leading space, a digit, a mark or a white-space character; the pieces of a text
concatenate to it. Words of the vocabulary are one symbol; any other piece is spelled in UTF-8 bytes and closed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

PIECE = re.compile(r" ?[^\W\d_]+(?:['’][^\W\d_]+)?| ?\d| ?[^\s\w]| ?_|\s")

END, UNKNOWN = 0, 1  # the first two symbols of the word model
CLOSE = 0  # the spelling model's end of a piece; byte b is symbol b + 1


@dataclass(frozen=True)
class WordPieces:
    """The vocabulary: words get ids 2.., then come the closing mark and 256 bytes for spelling."""

    words: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Piece -> symbol of the word model."""
        return {word: place for place, word in enumerate(self.words, UNKNOWN + 1)}

    @property
    def word_symbols(self) -> int:
        """Symbols of the word model: the text's end, the unknown piece, the words."""
        return len(self.words) + 2

    @property
    def size(self) -> int:
        """Token ids in all."""
        return self.word_symbols + 257

    def encode(self, text: str) -> list[int]:
        """Token ids; unknown pieces are spelled."""
        ids: list[int] = []
        for piece, _ in pieces(text):
            known = self.index.get(piece)
            ids += [known] if known is not None else [self.word_symbols + symbol for symbol in spelling(piece)]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; a spelling that is no UTF-8 shows replacement characters."""
        data = b"".join(self._bytes(token) for token in ids)
        return data.decode("utf-8", "replace")

    def history(self, ids: Sequence[int], length: int) -> tuple[list[int], list[int] | None]:
        """The last `length` word symbols, and the bytes of a piece that is still being spelled (None outside one)."""
        words: list[int] = []
        place = len(ids)
        while place > 0 and ids[place - 1] > self.word_symbols:
            place -= 1
        spelled = [token - self.word_symbols for token in ids[place:]]
        while place > 0 and len(words) < length:
            place -= 1
            if ids[place] < self.word_symbols:
                words.append(ids[place])
                continue
            # a closing mark, and the bytes before it: one unknown piece
            words.append(UNKNOWN)
            while place > 0 and ids[place - 1] > self.word_symbols:
                place -= 1
        return words[::-1], spelled or None

    def _bytes(self, token: int) -> bytes:
        if token > self.word_symbols:
            return bytes([token - self.word_symbols - 1])
        return b"" if token in (END, UNKNOWN, self.word_symbols) else self.words[token - 2].encode()


def pieces(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Each piece with its [start, end) characters."""
    for match in PIECE.finditer(text):
        yield match.group(), match.span()


def spelling(piece: str) -> list[int]:
    """Symbols of the spelling model for a piece, closed; lone surrogates keep their three bytes."""
    return [byte + 1 for byte in piece.encode("utf-8", "surrogatepass")] + [CLOSE]


def vocabulary_of(texts: Iterable[str], at_least: int, limit: int) -> tuple[WordPieces, list[str]]:
    """Pieces that occur `at_least` times (the `limit` most frequent ones), and the types that were left out."""
    counts = Counter(piece for text in texts for piece, _ in pieces(text))
    ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))
    kept = [piece for piece in ranked if counts[piece] >= at_least][:limit]
    chosen = set(kept)
    return WordPieces(tuple(kept)), [piece for piece in ranked if piece not in chosen]
