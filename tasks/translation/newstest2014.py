"""How well news is translated between English and German: newstest2014 as tokenised and filtered for early papers."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any, Literal

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, Response
from harness.tasks.translation import _pairs

DATA = Dataset(
    name="wmt14_ende_small",
    files={
        "train": DataFile(
            "wmt14_ende_small/train_10k.jsonl.gz", "36667853cdbdba3af62f6deef70cc4efdbc7c6520e15b9014fecb32237e67cfb"
        ),
        "validation": DataFile(
            "wmt14_ende_small/newstest2013.jsonl.gz", "ff26c527bc50deac8414cb47d329bdc19acec4786ceed6233917484b53257862"
        ),
        "test": DataFile(
            "wmt14_ende_small/newstest2014_filtered.jsonl.gz",
            "4bb757a5223c3a10b259bb75e748641b243f897f30ebecf4067c576f068bb9b1",
        ),
    },
    columns=("en", "de"),
    licence="not stated for the data; WMT data are free for research",
)


@task(
    version=1,
    doors=("generate",),
    paper="Bojar et al. 2014, Findings of the 2014 Workshop on Statistical Machine Translation, W14-3302",
    licence="not stated for the data; WMT data are free for research",
    differs="The 2,737 sentences of the filtered set, Moses tokens with HTML entities undone, tokenised BLEU; only "
    "10,000 training pairs. Not comparable with translation/wmt14.",
)
class Newstest2014:
    """Translate 2,737 tokenised news sentences; tokenised BLEU, as the papers of 2014 to 2016 report it.

    10,000 pairs to learn from, newstest2013 (3,000) for validation. HTML entities (`&quot;`), which the data mix with
    plain quotes, are undone on both sides; the Moses tokens stay, and BLEU splits at white space alone. A model that
    writes plain text is judged as if its words and marks were one token: use `translation/wmt14` for such models.
    The filtered set is not on the hub: whole newstest2014 from there is `translation/wmt14`, and the two never mix.

    Bojar et al. 2014; the filtered set as OpenNMT shipped it (Klein et al. 2017).
    Differs from the paper: as said on the card.
    """

    source: Literal["en", "de"] = "en"
    target: Literal["en", "de"] = "de"

    def __post_init__(self) -> None:
        """Refuse a direction that the data do not have."""
        _pairs.check_direction("translation/newstest2014", self.source, self.target, ("en", "de"))

    @property
    def door(self) -> str:
        """Generation."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Tokenised BLEU first."""
        return _pairs.metrics(self.target, "none")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """The sentences in the stored order; the seed plays no part."""
        _check(split)
        rows = sources.rows(DATA, split)
        pairs = ((html.unescape(str(row[self.source])), html.unescape(str(row[self.target]))) for row in rows)
        yield from _pairs.examples(pairs, split, self.source, self.target)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        _check(split)
        return sources.digest(DATA, split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """The reference."""
        return _pairs.oracle(example)


def _check(split: str) -> None:
    if split not in DATA.files:
        raise _pairs.no_split("translation/newstest2014", split, DATA.files)
