"""Whether a language model predicts a passage's last word, which only the whole passage gives away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Response, Score
from harness.tasks import _choices

if TYPE_CHECKING:
    import numpy as np

OPENAI = Dataset(
    name="lambada_openai",
    files={
        "test": DataFile(
            "lm_text/lambada_openai_test.jsonl.gz",
            sha256="e215bc0c9b38edcbd48ee4539d89f7fdf265608b9b63da10af784cf53bccdd82",
        )
    },
    columns=("text",),
    licence="MIT",
    hub=HubData("EleutherAI/lambada_openai", {"test": "test"}, config="default"),
)
STANDARD = Dataset(
    name="lambada",
    files={
        "validation": DataFile(
            "lm_text/lambada_dev_plain.txt.gz",
            sha256="2b457e70f09d200187d6860099e05263b1c0ad2bd1a6891edae77f2ead7991a7",
        ),
        "test": DataFile(
            "lm_text/lambada_test_plain.txt.gz",
            sha256="e8b4b45c084a6c86872c83b0e78516b536ed2ffb52a37d6350e02a1be92251fa",
        ),
    },
    columns=("text",),
    licence="CC BY 4.0",
    hub=HubData("cimec/lambada", {"validation": "validation", "test": "test"}),
)


@task(
    version=1,
    doors=("score",),
    paper="Paperno et al. 2016, The LAMBADA dataset: Word prediction requiring a broad discourse context, "
    "arXiv:1606.06031",
    licence="CC BY 4.0",
    chance=0.0,
    differs="As lm-eval's lambada_openai and lambada_standard: the last word counts as predicted when each of its "
    "tokens is the model's first choice given the true ones before it.",
)
class Lambada:
    """The last word of a passage given the rest; `text=openai` is untokenised, `text=standard` the original."""

    text: Literal["openai", "standard"] = "openai"

    @property
    def door(self) -> str:
        """The last word is scored."""
        return "score"

    @property
    def metrics(self) -> tuple[Any, ...]:
        """Share of last words predicted, and perplexity of a last word."""
        return ("greedy_accuracy", "perplexity")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One example a passage."""
        del seed  # nothing is drawn
        data = self._data(split)
        for number, row in enumerate(sources.rows(data, split)):
            passage, _, word = str(row["text"]).rpartition(" ")
            yield Example(id=str(number), requests=(Score(passage, f" {word}"),), target=word)

    def data_digest(self, split: str, sources: Sources) -> str:
        """The file's digest."""
        return sources.digest(self._data(split), split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """Certain of the last word."""
        return _choices.certain(example.requests, {0})

    def guess(self, example: Example, rng: np.random.Generator) -> tuple[Response, ...]:
        """Never the first choice: a random word of the language is right once in tens of thousands of tries."""
        return _choices.uniform(example.requests, rng)

    def _data(self, split: str) -> Dataset:
        data = OPENAI if self.text == "openai" else STANDARD
        if split not in data.files:
            raise UsageError(
                f"language_modelling/lambada:text={self.text} has no split {split!r}; it has {', '.join(data.files)}."
            )
        return data
