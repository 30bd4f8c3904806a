"""How well news articles are summarised by their own sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset
from harness.tasks.summarization._corpus import Corpus, Row, SummaryTask

DATA = Dataset(
    name="bbc_news",
    files={
        "train": DataFile(
            "bbc_news_summary/train.jsonl.gz", "396885a21249796bbf743aad9e6ecc5ce90a5a06dbc5ae9ea2194a8f23aef108"
        ),
        "validation": DataFile(
            "bbc_news_summary/valid.jsonl.gz", "57367b55f48f77f361b1c4f91aad78a804e86360687b15f8d0f757edd5dc818c"
        ),
        "test": DataFile(
            "bbc_news_summary/test.jsonl.gz", "4ae6a669361066136d93c9c92c856d74f2b9e08e0830e8b0868cccbc8957d4d5"
        ),
    },
    columns=("document", "summary"),
    licence="not stated; the article text belongs to the BBC",
)
ORDER = ("test", "validation", "train")  # a split leaves out what those before it hold
INSTRUCTION = "Summarize the article by repeating its most important sentences, about 40% of it."
MAX_NEW_TOKENS = 400  # references have 175 words on average, 144 in the median


@task(
    version=1,
    doors=("generate",),
    paper="Greene, Cunningham 2006, Practical Solutions to the Problem of Diagonal Dominance, ICML",
    licence="not stated; the article text belongs to the BBC",
    differs="The paper has the articles; the summaries are a later data set's, split at random, doubles kept apart.",
)
class BbcNews(SummaryTask):
    """Summarise a lower-cased article: 445 for testing, 445 for validation, 1,335 to learn from.

    62 articles are in two of the splits as distributed. The test set keeps all of its rows; validation leaves out what
    is tested, and training what is tested or validated.

    References join sentences without a space after the full stop, as distributed, which ROUGE's words do not see but
    its sentences (Lsum) do.

    The hub's `gopalkalpande/bbc-news-summary` holds the same 2,225 articles as they were written, in one split: another
    text and no test set, so this set has no twin there.

    Greene, Cunningham 2006 (the articles).
    Differs from the paper: as said on the card.
    """

    corpus: ClassVar[Corpus] = Corpus(DATA, "document", "summary", INSTRUCTION, MAX_NEW_TOKENS)

    def rows(self, split: str, sources: Sources) -> Iterator[Row]:
        """Articles that no split before this one holds."""
        before = [name for name in ORDER if ORDER.index(name) < ORDER.index(split)]
        kept_back = {str(row["document"]) for name in before for row in sources.rows(DATA, name)}
        return (row for row in sources.rows(DATA, split) if str(row["document"]) not in kept_back)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digests of the file, and of those whose articles are left out of it."""
        self._check(split)
        return "+".join(sources.digest(DATA, name) for name in ORDER[: ORDER.index(split) + 1])
