"""How well image captions are translated between English and German, French or Czech."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Response
from harness.tasks.translation import _pairs

Language = Literal["en", "de", "fr", "cs"]
FILES = {
    "train": DataFile("multi30k/train.jsonl.gz", "6a3bce46502f58f04782cf547bd99a5f04a114af0260616961df8a2a414aace5"),
    "validation": DataFile("multi30k/val.jsonl.gz", "4a5fd129dadb3152f67996651d5aa319d86d1c1f293ba9bba589a95c6a99f187"),
    "test": DataFile(
        "multi30k/test_2016_flickr.jsonl.gz", "920eaf0b66a0078ae7ac71676b091a9da9dddee4fc6c9cbdb91fbf970532b7dc"
    ),
    "test_2017": DataFile(
        "multi30k/test_2017_flickr.jsonl.gz", "7f1e048659c6ecaf62236d4f6def3e6eca2296b87af1f98dbff02a21b54cc490"
    ),
    "test_mscoco": DataFile(
        "multi30k/test_2017_mscoco.jsonl.gz", "686727dbc2f69d291c9ce5d2984b22e8cbd2418498df692a47c1fff173e32c6c"
    ),
    "test_2018": DataFile(
        "multi30k/test_2018_flickr.jsonl.gz", "a4a008f04a9738ae08940bd711271ffba95b3407666eab4c33efd0b5852f0d60"
    ),
}
NOT_CZECH = ("test_2017", "test_mscoco")
OFFICIAL = {"train": "train", "validation": "validation", "test": "test"}
# a copy of English and German alone, and one of all four languages that brings 10.5 GB of pictures along
HUB, HUB_OF_ALL = HubData("bentrevett/multi30k", OFFICIAL), HubData("romrawinjp/multi30k", OFFICIAL)


@task(
    version=1,
    doors=("generate",),
    paper="Elliott, Frank, Sima'an, Specia 2016, Multi30K: Multilingual English-German Image Descriptions, W16-3210",
    licence="not stated for the text; captions derive from Flickr30k: research use",
    differs="Raw text and sacrebleu's 13a tokens; the shared tasks scored lower-cased, tokenised text.",
)
class Multi30k:
    """Translate a caption: 29,000 to learn from, 1,014 for validation; BLEU on raw text.

    The split `test` is the 2016 Flickr set (1,000 captions); `test_2017` (1,000), `test_2018` (1,071) and `test_mscoco`
    (461, ambiguous verbs) are splits too, so that one fit serves all of them. The two sets of 2017 have no Czech.
    On the hub are training, validation and `test` alone, with French and Czech in a copy that holds the pictures too.

    Elliott et al. 2016; Elliott et al. 2017 (French, 2017 sets); Barrault et al. 2018 (Czech, 2018 set).
    Differs from the paper: raw text under sacrebleu's 13a, where the shared tasks scored lower-cased, tokenised text.
    """

    source: Language = "en"
    target: Language = "de"

    def __post_init__(self) -> None:
        """Refuse a direction that the data do not have."""
        _pairs.check_direction("translation/multi30k", self.source, self.target, ("en", "de", "fr", "cs"))

    @property
    def door(self) -> str:
        """Generation."""
        return "generate"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """BLEU first."""
        return _pairs.metrics(self.target)

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """The captions in the official order; the seed plays no part."""
        rows = sources.rows(self._data(split), split)
        pairs = ((str(row[self.source]), str(row[self.target])) for row in rows)
        yield from _pairs.examples(pairs, split, self.source, self.target)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        return sources.digest(self._data(split), split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """The reference."""
        return _pairs.oracle(example)

    def _data(self, split: str) -> Dataset:
        known = [name for name in FILES if "cs" not in (self.source, self.target) or name not in NOT_CZECH]
        if split not in known:
            raise _pairs.no_split("translation/multi30k", split, known)
        return Dataset(
            name="multi30k",
            files=FILES,
            columns=(self.source, self.target),
            licence="research use",
            hub=HUB if {self.source, self.target} == {"en", "de"} else HUB_OF_ALL,
        )
