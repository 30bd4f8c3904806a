"""What do all summarization tasks share? A corpus of texts with summaries, and the way from its rows to examples."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.api.protocols import Sources
from harness.api.types import Dataset, Example, Response
from harness.tasks.summarization import _gist

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Corpus:
    """A data set, which of its columns hold text and summaries, and how a summary is asked for."""

    data: Dataset
    source: str  # column of a text, or of the lines of one
    summary: str  # column of a summary, or of several
    instruction: str
    max_new_tokens: int

    @property
    def splits(self) -> tuple[str, ...]:
        """What the hub or the files hold."""
        return tuple(self.data.hub.splits if self.data.hub else self.data.files)


class SummaryTask(ABC):
    """Abstract: summarise each text of a corpus. Subclasses are final, say which, and may read its rows otherwise."""

    corpus: ClassVar[Corpus]

    @property
    def door(self) -> str:
        """Generation."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """ROUGE-1 first."""
        return _gist.METRICS

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """The texts in the official order; the seed plays no part."""
        self._check(split)
        pairs = self.pairs(self.rows(split, sources), split)
        yield from _gist.examples(pairs, split, self.corpus.instruction, self.corpus.max_new_tokens)

    def data_digest(self, split: str, sources: Sources) -> str:
        """The hub's commit, or the digest of the file."""
        self._check(split)
        return sources.digest(self.corpus.data, split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """A reference."""
        return _gist.oracle(example)

    def rows(self, split: str, sources: Sources) -> Iterable[Row]:
        """The split's rows."""
        return sources.rows(self.corpus.data, split)

    def pairs(self, rows: Iterable[Row], split: str) -> Iterator[tuple[str, list[str]]]:
        """Each text with its summaries."""
        corpus, place = self.corpus, f"{self.corpus.data.name} {split}"
        for row in rows:
            yield "\n".join(_gist.texts(row, corpus.source, place)), _gist.texts(row, corpus.summary, place)

    def _check(self, split: str) -> None:
        if split not in self.corpus.splits:
            raise _gist.no_split(f"summarization/{self.corpus.data.name}", split, self.corpus.splits)
