"""Whether a language model prefers the grammatical sentence of a minimal pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Response, Score
from harness.tasks import _choices

if TYPE_CHECKING:
    import numpy as np

DATA = Dataset(
    name="blimp",
    files={
        "test": DataFile(
            "blimp/blimp.jsonl.gz", sha256="4058926bd303435a39b69e957613495aa691f31552598e9d013148290b7367b9"
        )
    },
    columns=("sentence_good", "sentence_bad", "field", "linguistics_term", "UID"),
    licence="CC BY 4.0",
)


@task(
    version=1,
    doors=("score",),
    paper="Warstadt et al. 2020, BLiMP: The Benchmark of Linguistic Minimal Pairs for English, arXiv:1912.00582",
    licence="CC BY 4.0",
    chance=0.5,
    differs="As lm-eval, each sentence is scored after the model's BOS or EOS token and a space; the headline is the "
    "mean over the 67 paradigms, which lm-eval's group reports.",
)
class Blimp:
    """67 paradigms of 1,000 sentence pairs that differ in one grammatical fact; the likelier sentence is the answer."""

    paradigm: str = ""  # one of the 67 (`adjunct_island`), or empty for all
    pairs: int = 0  # the first so many of each paradigm; 0 for all 1,000

    @property
    def door(self) -> str:
        """Sentences are scored."""
        return "score"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """The mean over paradigms, then over pairs."""
        return ("macro_accuracy:tag=paradigm", "accuracy")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One example a pair, the grammatical sentence first."""
        del seed  # nothing is drawn
        if split != "test":
            raise UsageError(f"language_modelling/blimp has no split {split!r}; it has test alone.")
        seen: dict[str, int] = {}
        for row in sources.rows(self._data(), split):
            paradigm = str(row["UID"])
            number = seen[paradigm] = seen.get(paradigm, -1) + 1
            if (self.paradigm and paradigm != self.paradigm) or (self.pairs and number >= self.pairs):
                continue
            yield Example(
                id=f"{paradigm}-{number}",
                # white space as context: lm-eval's delimiter, and no BOS token that a tokenizer adds is scored
                requests=tuple(Score(" ", str(row[key])) for key in ("sentence_good", "sentence_bad")),
                target=0,
                tags={
                    "field": str(row["field"]),
                    "phenomenon": str(row["linguistics_term"]),
                    "paradigm": paradigm,
                },
            )
        if self.paradigm and self.paradigm not in seen:
            known = ", ".join(sorted(seen))
            raise UsageError(f"language_modelling/blimp has no paradigm {self.paradigm!r}; it has {known}.")

    def data_digest(self, split: str, sources: Sources) -> str:
        """The file's digest."""
        return sources.digest(self._data(), split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Certain of the grammatical sentence."""
        return _choices.certain(example.requests, {0})

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Either sentence."""
        return _choices.uniform(example.requests, rng)

    def _data(self) -> Dataset:
        # the hub keeps one configuration a paradigm, so that all 67 at once come from the local file alone
        hub = HubData("nyu-mll/blimp", {"test": "train"}, config=self.paradigm) if self.paradigm else None
        return replace(DATA, hub=hub)
