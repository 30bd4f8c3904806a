"""How well English news is translated into seventeen languages, or from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, Response
from harness.tasks.translation import _pairs

Language = Literal[
    "en", "de", "fr", "cs", "es", "it", "nl", "pl", "pt", "ro", "ru", "fi", "tr", "vi", "zh", "ja", "ar", "hi"
]
FILES = {
    "test": DataFile(
        "ntrex_newstest2019/test.jsonl.gz", "cb914839cdbc3b91c80250fee484d238ea1a1e5f1f1527e80735909173b46fa8"
    )
}


@task(
    version=1,
    doors=("generate",),
    paper="Federmann, Kocmi, Xin 2022, NTREX-128: News Test References for MT Evaluation of 128 Languages, SUMEval",
    licence="CC BY-SA 4.0",
    differs="17 of the 128 languages; German references are NTREX's own, not WMT19's; Japanese BLEU counts characters.",
)
class Ntrex:
    """Translate the 1,997 sentences of newstest2019; nothing to learn from. Sentences of one document are one cluster.

    BLEU by sacrebleu with its 13a tokens, its `zh` tokens for Chinese, and characters for Japanese.

    Federmann, Kocmi, Xin 2022.
    Differs from the paper: as said on the card. Scores against the WMT19 reference are another task's.
    """

    source: Language = "en"
    target: Language = "de"

    def __post_init__(self) -> None:
        """Refuse a direction that the data do not have."""
        _pairs.check_direction("translation/ntrex", self.source, self.target, _pairs.LANGUAGES)

    @property
    def door(self) -> str:
        """Generation."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """BLEU first."""
        return _pairs.metrics(self.target)

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """The sentences in the official order; the seed plays no part."""
        rows = list(sources.rows(self._data(split), split))
        pairs = ((str(row[self.source]), str(row[self.target])) for row in rows)
        for row, example in zip(rows, _pairs.examples(pairs, split, self.source, self.target), strict=True):
            yield Example(example.id, example.requests, example.target, example.tags, str(row["docid"]))

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        return sources.digest(self._data(split), split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """The reference."""
        return _pairs.oracle(example)

    def _data(self, split: str) -> Dataset:
        if split not in FILES:
            raise _pairs.no_split("translation/ntrex", split, FILES)
        return Dataset("ntrex", FILES, ("docid", self.source, self.target), "CC BY-SA 4.0")
