"""How well news articles are said in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Dataset, Example, HubData, Response
from harness.tasks.summarization import _gist

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
DATA = Dataset(
    name="xsum",
    files={},
    columns=("document", "summary"),
    licence="not stated; the article text belongs to the BBC",
    hub=HubData("EdinburghNLP/xsum", SPLITS),
)
INSTRUCTION = "Summarize the article in one sentence. Answer with the sentence only."
MAX_NEW_TOKENS = 80  # Narayan et al. 2018: references have 23 words on average


@task(
    version=1,
    doors=("generate",),
    paper="Narayan, Cohen, Lapata 2018, Don't Give Me the Details, Just the Summary!, arXiv:1808.08745",
    licence="not stated; the article text belongs to the BBC",
    differs="ROUGE by rouge-score; the paper used pyrouge.",
)
class Xsum:
    """Summarise an article in one sentence: 204,045 to learn from, 11,332 for validation, 11,334 for testing.

    The rows come from the hub, or from your own `<split>.jsonl` under --own xsum=FOLDER.

    Narayan, Cohen, Lapata 2018.
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
        texts = ((str(row["document"]), _gist.texts(row, "summary", f"xsum {split}")) for row in rows)
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
        raise _gist.no_split("summarization/xsum", split, SPLITS)
