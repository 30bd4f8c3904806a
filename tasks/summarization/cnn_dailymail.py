"""How well news articles are summarised in a few highlights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Dataset, Example, HubData, Response
from harness.tasks.summarization import _gist

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
DATA = Dataset(
    name="cnn_dailymail",
    files={},
    columns=("article", "highlights"),
    licence="Apache-2.0 (of the collection)",
    hub=HubData("abisee/cnn_dailymail", SPLITS, config="3.0.0"),
)
INSTRUCTION = "Summarize the article in three or four short sentences, one a line. Answer with the summary only."
MAX_NEW_TOKENS = 160  # See et al. 2017 write 120 words at most


@task(
    version=1,
    doors=("generate",),
    paper="Hermann et al. 2015; See, Liu, Manning 2017, Get To The Point, arXiv:1704.04368",
    licence="Apache-2.0 (of the collection)",
    differs="ROUGE by rouge-score; See et al. used pyrouge.",
)
class CnnDailymail:
    """Summarise an article in its highlights, one a line: 287,113 to learn from, 13,368 for validation, 11,490 to test.

    The rows come from the hub, or from your own `<split>.jsonl` under --own cnn_dailymail=FOLDER.

    See, Liu, Manning 2017 (version 3.0.0, not anonymised).
    Differs from the paper: ROUGE by rouge-score, where the paper used pyrouge.
    """

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
        _check(split)
        rows = sources.rows(DATA, split)
        texts = ((str(row["article"]), _gist.texts(row, "highlights", f"cnn_dailymail {split}")) for row in rows)
        yield from _gist.examples(texts, split, INSTRUCTION, MAX_NEW_TOKENS)

    def data_digest(self, split: str, sources: Sources) -> str:
        """The hub's commit, or the digest of the user's file."""
        _check(split)
        return sources.digest(DATA, split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """A reference."""
        return _gist.oracle(example)


def _check(split: str) -> None:
    if split not in SPLITS:
        raise _gist.no_split("summarization/cnn_dailymail", split, SPLITS)
