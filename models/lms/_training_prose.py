"""Which English text is at hand on every machine: the prose of Python's own documentation, or a file of the user's."""

from __future__ import annotations

import re
from pathlib import Path

from harness.api.errors import DataError


def paragraphs(corpus: Path | None) -> list[str]:
    """Paragraphs on one line each; DataError when the file cannot be read as UTF-8 text or holds none."""
    if corpus is None:
        return documentation()
    try:
        text = corpus.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"the corpus {corpus} cannot be read as UTF-8 text ({problem}).") from problem
    found = [" ".join(block.split()) for block in re.split(r"\n\s*\n", text) if block.strip()]
    if not found:
        raise DataError(f"the corpus {corpus} holds no text; give a UTF-8 file of prose.")
    return found


def documentation() -> list[str]:
    """The prose paragraphs of `pydoc_data.topics`, without code, grammar, headings and markup."""
    from pydoc_data.topics import topics

    prose = []
    for name in sorted(topics):
        for block in re.split(r"\n\s*\n", topics[name]):
            line = " ".join(block.split()).replace("\u2019", "'")
            # a heading, an example and a grammar rule are no sentences
            if re.search(r"::=|>>>|\*{4}|={4}", line) or not re.search(r"[a-z][.:)]$", line) or line.count(" ") < 5:
                continue
            prose.append(re.sub(r'[*"`\u2018\u201c\u201d]', "", line))
    return prose
