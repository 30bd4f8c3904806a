"""How well a hundred opinions on one thing are summarised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Response
from harness.tasks.summarization import _gist

DATA = Dataset(
    name="opinosis",
    files={
        "test": DataFile("opinosis/all.jsonl.gz", "879472f7968ed2db872ae7a1bda3bb9d56519890394729c4ec202f122eaa8067"),
    },
    columns=("sentences", "summaries"),
    licence="Apache-2.0 (of the repository)",
    # the main branch is a program, which nothing here runs; the hub's own conversion to tables is
    hub=HubData(
        id="kavgan/opinosis",
        splits={"test": "train"},
        revision="refs/convert/parquet",
        columns={"sentences": "review_sents", "summaries": "summaries"},
    ),
)
INSTRUCTION = "Summarize the opinions in one or two short sentences. Answer with the summary only."
MAX_NEW_TOKENS = 80  # references have 17 words on average, 62 at most


@task(
    version=1,
    doors=("generate",),
    paper="Ganesan, Zhai, Han 2010, Opinosis: A Graph-Based Approach to Abstractive Summarization, COLING",
    licence="Apache-2.0 (of the repository)",
    differs="The best of about five references counts; the paper averages over them with jackknifing and recall.",
)
class Opinosis:
    """Summarise about 100 review sentences on a topic, one a line; 51 topics, all for testing.

    The hub's rows hold the sentences of a topic as one text, which stays as it is.

    Ganesan, Zhai, Han 2010.
    Differs from the paper: F-measure of the best reference, where the paper reports recall with jackknifing.
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
        texts = (
            ("\n".join(_gist.texts(row, "sentences", "opinosis")), _gist.texts(row, "summaries", "opinosis"))
            for row in rows
        )
        yield from _gist.examples(texts, split, INSTRUCTION, MAX_NEW_TOKENS)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        _check(split)
        return sources.digest(DATA, split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """A reference."""
        return _gist.oracle(example)


def _check(split: str) -> None:
    if split not in DATA.files:
        raise _gist.no_split("summarization/opinosis", split, DATA.files)
