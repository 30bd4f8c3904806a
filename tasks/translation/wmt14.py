"""How well news is translated: WMT14 as the hub has it, whole newstest2014 in plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Dataset, Example, HubData, Response
from harness.tasks.translation import _pairs

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
OTHERS = ("cs", "de", "fr", "hi", "ru")


@task(
    version=1,
    doors=("generate",),
    paper="Bojar et al. 2014, Findings of the 2014 Workshop on Statistical Machine Translation, W14-3302",
    licence="WMT data are free for research",
    differs="BLEU by sacrebleu on plain text; papers of the time scored tokenised text, see translation/newstest2014.",
)
class Wmt14:
    """Translate newstest2014 (en-de: 3,003 sentences) between English and Czech, German, French, Hindi or Russian.

    The rows come from the hub's `wmt/wmt14` alone (en-de: 4.5 million pairs to learn from, newstest2013 for
    validation), or from your own files `<split>.jsonl` with one column a language under `--own wmt14=FOLDER`.

    Bojar et al. 2014.
    Differs from the paper: BLEU by sacrebleu on plain text instead of human ranking.
    """

    source: Literal["en", "cs", "de", "fr", "hi", "ru"] = "en"
    target: Literal["en", "cs", "de", "fr", "hi", "ru"] = "de"

    def __post_init__(self) -> None:
        """Refuse a direction that the data do not have."""
        _pairs.check_direction("translation/wmt14", self.source, self.target, ("en", *OTHERS))
        if "en" not in (self.source, self.target):
            raise ValueError("translation/wmt14 has English on one side; set source=en or target=en.")

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
        rows = sources.rows(self._data(split), split)
        pairs = ((str(row[self.source]), str(row[self.target])) for row in rows)
        yield from _pairs.examples(pairs, split, self.source, self.target)

    def data_digest(self, split: str, sources: Sources) -> str:
        """The hub's commit, or the digest of the user's file."""
        return sources.digest(self._data(split), split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """The reference."""
        return _pairs.oracle(example)

    def _data(self, split: str) -> Dataset:
        if split not in SPLITS:
            raise _pairs.no_split("translation/wmt14", split, SPLITS)
        other = self.source if self.target == "en" else self.target
        columns = {str(language): f"translation.{language}" for language in (self.source, self.target)}
        return Dataset(
            name="wmt14",
            files={},
            columns=(self.source, self.target),
            licence="WMT data are free for research",
            hub=HubData("wmt/wmt14", SPLITS, config=f"{other}-en", columns=columns),
        )
