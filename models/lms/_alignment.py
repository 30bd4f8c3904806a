"""Which characters of a text each token covers, when only the tokens' own spellings are known."""

from __future__ import annotations

from collections.abc import Sequence

REPLACEMENT = "\ufffd"  # how a piece of a character is decoded
LONGEST_UNKNOWN = 64  # characters of a first token whose spelling is not given


def align(text: str, pieces: Sequence[str | None]) -> list[tuple[int, int]] | None:
    """[start, end) of each piece in `text`; None when they do not spell it.

    A piece that is only a part of a character (spelled with U+FFFD, or `bytes:...`) covers the whole stretch up to
    the next piece that can be read. A special token at the start that the text does not hold covers nothing. A first
    piece of unknown spelling covers what the others leave.
    """
    if not pieces:
        return None if text else []
    first, rest = pieces[0], pieces[1:]
    lengths = [len(first), 0] if first is not None and text.startswith(first) else [0]
    if first is None:
        lengths = list(range(min(len(text), LONGEST_UNKNOWN) + 1))
    elif _is_torn(first):
        return _follow(text, pieces, 0)
    for length in lengths:
        spans = _follow(text, rest, length)
        if spans is not None:
            return [(0, length), *spans]
    return None


def _follow(text: str, pieces: Sequence[str | None], place: int) -> list[tuple[int, int]] | None:
    """Spans of pieces that spell `text` from `place` to its end."""
    spans: list[tuple[int, int]] = []
    torn: list[int] = []  # indices of pieces whose end is not known yet
    for index, piece in enumerate(pieces):
        if piece is None:
            return None
        if _is_torn(piece):
            torn.append(index)
            spans.append((place, place))
            continue
        # a torn character is one character or more
        start = text.find(piece, place + 1) if torn else place
        if start < 0 or not text.startswith(piece, start):
            return None
        for waiting in torn:
            spans[waiting] = (place, start)
        torn, place = [], start + len(piece)
        spans.append((start, place))
    for waiting in torn:
        spans[waiting] = (place, len(text))
    return spans if torn or place == len(text) else None


def _is_torn(piece: str) -> bool:
    return REPLACEMENT in piece or piece.startswith("bytes:")
