"""How well English news is translated into seventeen languages, or from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from harness.api.errors import DataError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Response
from harness.tasks.translation import _pairs

Language = Literal[
    "en", "de", "fr", "cs", "es", "it", "nl", "pl", "pt", "ro", "ru", "fi", "tr", "vi", "zh", "ja", "ar", "hi"
]
FILES = {
    "test": DataFile(
        "ntrex_newstest2019/test.jsonl.gz", "cb914839cdbc3b91c80250fee484d238ea1a1e5f1f1527e80735909173b46fa8"
    )
}

HUB = "davidstap/NTREX"  # one configuration a language, one column `text`
CONFIGS = {
    "en": "eng_Latn",
    "de": "deu_Latn",
    "fr": "fra_Latn",
    "cs": "ces_Latn",
    "es": "spa_Latn",
    "it": "ita_Latn",
    "nl": "nld_Latn",
    "pl": "pol_Latn",
    "pt": "por_Latn",
    "ro": "ron_Latn",
    "ru": "rus_Cyrl",
    "fi": "fin_Latn",
    "tr": "tur_Latn",
    "vi": "vie_Latn",
    "zh": "zho_Hans",
    "ja": "jpn_Jpan",
    "ar": "arb_Arab",
    "hi": "hin_Deva",
}


@task(
    version=2,
    doors=("generate",),
    paper="Federmann, Kocmi, Xin 2022, NTREX-128: News Test References for MT Evaluation of 128 Languages, SUMEval",
    licence="CC BY-SA 4.0",
    differs="17 of the 128 languages; German references are NTREX's own, not WMT19's; Japanese BLEU counts "
    "characters, and TER counts those of Chinese and Japanese.",
)
class Ntrex:
    """Translate the 1,997 sentences of newstest2019; nothing to learn from. Sentences of one document are one cluster.

    BLEU by sacrebleu with its 13a tokens, its `zh` tokens for Chinese, and characters for Japanese; TER counts
    the characters of both. The hub's copy has
    no documents, so that every sentence is a cluster of its own there.

    Federmann, Kocmi, Xin 2022.
    Differs from the paper: as said on the card. Scores against the WMT19 reference are another task's.
    """

    source: Language = "en"
    target: Language = "de"

    def __post_init__(self) -> None:
        """Refuse a direction that the data do not have."""
        _pairs.check_direction("translation/ntrex", self.source, self.target, CONFIGS)

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
        asked, wanted = (list(sources.rows(_data(side, split), split)) for side in (self.source, self.target))
        if len(asked) != len(wanted):
            raise DataError(f"ntrex: {self.source} has {len(asked)} sentences, but {self.target} has {len(wanted)}.")
        pairs = ((str(row[self.source]), str(other[self.target])) for row, other in zip(asked, wanted, strict=True))
        for row, example in zip(asked, _pairs.examples(pairs, split, self.source, self.target), strict=True):
            cluster = str(row["docid"]) if "docid" in row else ""
            yield Example(example.id, example.requests, example.target, example.tags, cluster)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file, or of both languages' files where they are two."""
        digests = (sources.digest(_data(side, split), split) for side in (self.source, self.target))
        return "+".join(dict.fromkeys(digests))

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """The reference."""
        return _pairs.oracle(example)


def _data(language: str, split: str) -> Dataset:
    """The sentences of one language."""
    if split not in FILES:
        raise _pairs.no_split("translation/ntrex", split, FILES)
    hub = HubData(HUB, {"test": "test"}, CONFIGS[language], columns={language: "text"})
    return Dataset("ntrex", FILES, (language,), "CC BY-SA 4.0", hub)
