"""Which characters of a text each token covers, when only the tokens' own spellings are known.

A token may hold a part of a character, which servers spell in four ways: as U+FFFD, as nothing, as nothing until the
last part is there (which is then spelled as the whole character), or as its bytes ("bytes:" and escapes, "<0xE6>").
So spellings are matched with the text's UTF-8 bytes, and every way to do so is kept until the end of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate, product
from typing import Literal, final

# how a server decodes a part of a character: it has none such, or U+FFFD stands for it, or nothing does
Manner = Literal["none", "replace", "ignore"]
MANNERS: tuple[Manner, ...] = ("none", "replace", "ignore")
REPLACEMENT = "\ufffd"  # how a part of a character is decoded
LONGEST_UNKNOWN = 64  # characters of a first token whose spelling is not given
MOST_TORN = 16  # parts of characters in one token; more are read as letters U+FFFD of the text itself
MOST_PLACES = 256  # byte positions at which a token may begin before the text counts as unreadable


def align(text: str, pieces: Sequence[str | None], border: int = 0) -> list[tuple[int, int]] | None:
    """[start, end) of each piece in `text`, in characters; None when they do not spell it.

    A part of a character covers the whole of it. A special token at the start that the text does not hold covers
    nothing, and a first piece of unknown spelling (None) what the others leave. None, too, when the spellings leave
    open whether a piece ends after the character `border`.
    """
    data = text.encode("utf-8", "surrogatepass")
    if not pieces:
        return None if data else []
    # the plainest reading that spells the text counts: a sign U+FFFD may stand in the text itself
    for empty, torn, first in product((False, True), MANNERS, (True, False)):
        steps = _Reading(data, pieces, torn, first_covers=first, empty_covers_nothing=empty).steps()
        if steps is not None:
            return _spans(text, steps, border)
    return None


# the bytes that one piece may cover, [(start, end), ...]: more than one where its spelling leaves that open
_Steps = list[list[tuple[int, int]]]


@final
class _Reading:
    """The pieces laid along the bytes of a text, under one reading of those that may cover nothing."""

    def __init__(
        self, data: bytes, pieces: Sequence[str | None], torn: Manner, *, first_covers: bool, empty_covers_nothing: bool
    ) -> None:
        self._data, self._pieces, self._torn = data, pieces, torn
        self._first_covers, self._empty_covers_nothing = first_covers, empty_covers_nothing

    def steps(self) -> _Steps | None:
        """What each piece may cover in a reading of the whole text; None when there is no such reading."""
        least = [0 if piece is None else _least(piece, self._empty_covers_nothing) for piece in self._pieces]
        # a later piece of unknown spelling cannot be placed
        if None in self._pieces[1:]:
            return None
        if not self._first_covers:
            least[0] = 0
        # the bytes that the pieces from here on need at least
        needed = [0, *accumulate(reversed(least))][::-1]
        places, steps = {0}, []
        for index in range(len(self._pieces)):
            room = len(self._data) - needed[index + 1]
            found = sorted({(at, end) for at in places for end in self._ends(index, at) if end <= room})
            places = {end for _, end in found}
            if not places or len(places) > MOST_PLACES:
                return None
            steps.append(found)
        alive = {len(self._data)}
        for found in reversed(steps):
            found[:] = [(at, end) for at, end in found if end in alive]
            alive = {at for at, _ in found}
        return steps if alive else None

    def _ends(self, index: int, at: int) -> Iterator[int]:
        piece = self._pieces[index]
        if index == 0 and not self._first_covers:
            yield at
        elif piece is None:
            yield from range(min(len(self._data), 4 * LONGEST_UNKNOWN) + 1)
        else:
            if piece == "" and self._empty_covers_nothing:
                yield at
            yield from _whole_ends(self._data, piece, at)
            if self._torn != "none":
                yield from _torn_ends(self._data, piece, at, self._torn)


def _whole_ends(data: bytes, piece: str, at: int) -> Iterator[int]:
    """Where a piece ends that is spelled as it stands in the text, or by its bytes."""
    for spelling in (piece.encode("utf-8", "surrogatepass"), _bytes(piece)):
        if spelling and data.startswith(spelling, at):
            yield at + len(spelling)


def _torn_ends(data: bytes, piece: str, at: int, manner: Manner) -> Iterator[int]:
    """Where a piece may end that holds parts of characters, at its beginning or its end; it covers at least a byte."""
    whole = piece.encode("utf-8", "surrogatepass")
    torn = piece.count(REPLACEMENT)
    if torn > MOST_TORN:
        return
    if manner == "ignore" and _inside(data, at):
        # the parts before were spelled as nothing and this one as the character that it ends
        begin = max(place for place in range(max(0, at - 3), at) if not _inside(data, place))
        if whole and data.startswith(whole, begin) and begin + len(whole) > at:
            yield begin + len(whole)
    plain = len(whole) - torn * len(REPLACEMENT.encode())
    for end in range(at + max(1, plain), min(len(data), at + plain + 3 * torn + 6) + 1):
        if (_inside(data, at) or _inside(data, end)) and data[at:end].decode("utf-8", manner) == piece:
            yield end


@cache
def _least(piece: str, empty_covers_nothing: bool) -> int:
    """The fewest bytes that a piece may cover."""
    if not piece:
        return 0 if empty_covers_nothing else 1
    raw = _bytes(piece)
    # the end of a character that was held back is spelled by up to three bytes more than it covers
    spelled = len(piece.encode("utf-8", "surrogatepass")) - 2 * piece.count(REPLACEMENT) - (0 if piece.isascii() else 3)
    return max(1, min(len(raw), spelled) if raw else spelled)


def _bytes(piece: str) -> bytes:
    """The bytes that a piece spells out by their numbers; none where it does not."""
    if re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", piece):
        return bytes([int(piece[3:5], 16)])
    if not piece.startswith("bytes:"):
        return b""
    body = piece.removeprefix("bytes:").encode("utf-8", "surrogatepass")
    return re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda found: bytes([int(found.group(1), 16)]), body)


def _inside(data: bytes, place: int) -> bool:
    """Whether a byte position lies within a character."""
    return place < len(data) and data[place] & 0xC0 == 0x80


def _spans(text: str, steps: _Steps, border: int) -> list[tuple[int, int]] | None:
    """The widest stretch of each piece in characters; None when a piece ends now before the border, now after it."""
    sizes = [len(letter.encode("utf-8", "surrogatepass")) for letter in text]
    starts = [0, *accumulate(sizes)]  # byte at which each character begins
    of_byte = [index for index, size in enumerate(sizes) for _ in range(size)] + [len(text)]
    limit = starts[min(border, len(text))]
    spans = []
    for found in steps:
        if len({end > limit for _, end in found}) > 1:
            return None
        begin, end = min(at for at, _ in found), max(end for _, end in found)
        # a part of a character covers the whole of it
        last = of_byte[end] if starts[of_byte[end]] == end else of_byte[end] + 1
        spans.append((of_byte[begin], last))
    return spans
