"""How well your own parallel text is translated: two files of a split, one sentence a line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.api.errors import DataError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example, Response
from harness.tasks.translation import _pairs

SPLITS = ("train", "validation", "test")


@task(version=2, doors=("generate",), paper="none", licence="as the user's files", differs="none")
class Parallel:
    """Translate line n of `<folder>/<split>.<source>`; the reference is line n of `<folder>/<split>.<target>`.

    UTF-8, with or without a byte-order mark; Windows line ends are line ends. Blank lines are examples like others.
    Two files of different length are an error that names both lengths: nothing is aligned by guess.

    A language is named as your files are (zh, zh-CN, zh_Hans, zho_Hant); BLEU's tokens follow the language: sacrebleu's
    `zh` for Chinese, characters for Japanese, Korean, Thai, Khmer, Lao and Burmese, 13a for all others.

    Differs from the paper: none.
    """

    folder: Path
    source: str = "en"
    target: str = "de"

    def __post_init__(self) -> None:
        """Refuse a language translated into itself."""
        if self.source == self.target:
            raise ValueError(f"source and target are both {self.source!r}.")

    @property
    def door(self) -> str:
        """Generation."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """BLEU first."""
        return _pairs.metrics(self.target)

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """The lines in order; the seed plays no part."""
        files = self._files(split)
        yield from _pairs.examples(_aligned(*files), split, self.source, self.target)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digests of both files."""
        return "+".join(f"local:{hashlib.sha256(_bytes(file)).hexdigest()}" for file in self._files(split))

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """The reference."""
        return _pairs.oracle(example)

    def _files(self, split: str) -> tuple[Path, Path]:
        if split not in SPLITS:
            raise _pairs.no_split("translation/parallel", split, SPLITS)
        source, target = (self.folder / f"{split}.{language}" for language in (self.source, self.target))
        if split != "test" and not source.exists() and not target.exists():
            present = [name for name in SPLITS if (self.folder / f"{name}.{self.source}").exists()] or ["test"]
            raise _pairs.no_split(f"translation/parallel:folder={self.folder}", split, present)
        return source, target


def _aligned(source: Path, target: Path) -> Iterator[tuple[str, str]]:
    asked, wanted = _lines(source), _lines(target)
    if len(asked) != len(wanted):
        raise DataError(
            f"{source} has {len(asked)} lines and {target} has {len(wanted)}; line n of one must translate line n "
            "of the other."
        )
    yield from zip(asked, wanted, strict=True)


def _lines(file: Path) -> list[str]:
    try:
        text = _bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise DataError(f"{file} is not UTF-8 text ({problem.reason} at byte {problem.start}).") from problem
    # only "\n" ends a line: a lone carriage return may be part of a sentence
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise DataError(f"{file} cannot be read ({problem.strerror}).") from problem
