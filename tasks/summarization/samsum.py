"""How well messenger chats are summarised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, Example, HubData, Response
from harness.tasks.summarization import _gist

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
DATA = Dataset(
    name="samsum",
    files={
        "validation": DataFile(
            "samsum/validation.jsonl.gz", "3c19010ac308c7a7fcae4c0ef3b61ecfd55361a0dc4e42dc27b933d2d43ae54d"
        ),
        "test": DataFile("samsum/test.jsonl.gz", "244da4e0d763365b1d535307c8e12441bbcee36726939d5b0a504b3b9350b5cd"),
    },
    columns=("dialogue", "summary"),
    licence="CC BY-NC-ND 4.0",
    hub=HubData("knkarthick/samsum", SPLITS),
)
INSTRUCTION = "Summarize the chat in one or two sentences, in the third person. Answer with the summary only."
MAX_NEW_TOKENS = 100  # references have 20 words on average, 58 at most


@task(
    version=1,
    doors=("generate",),
    paper="Gliwa, Mochol, Biesek, Wawer 2019, SAMSum Corpus, NewSum",
    licence="CC BY-NC-ND 4.0",
    differs="ROUGE by rouge-score with stems; the paper used py-rouge.",
)
class Samsum:
    """Summarise a chat: 818 for validation, 819 for testing; the 14,732 to learn from are on the hub alone.

    Gliwa et al. 2019.
    Differs from the paper: ROUGE by rouge-score with stems, where the paper used py-rouge.
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
        texts = ((str(row["dialogue"]), _gist.texts(row, "summary", f"samsum {split}")) for row in rows)
        yield from _gist.examples(texts, split, INSTRUCTION, MAX_NEW_TOKENS)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        _check(split)
        return sources.digest(DATA, split)

    def oracle(self, example: Example) -> tuple[Response, ...]:
        """A reference."""
        return _gist.oracle(example)


def _check(split: str) -> None:
    if split not in SPLITS:
        raise _gist.no_split("summarization/samsum", split, SPLITS)
