"""How well messenger chats are summarised."""

from __future__ import annotations

from typing import ClassVar

from harness.api.registry import task
from harness.api.types import DataFile, Dataset, HubData
from harness.tasks.summarization._corpus import Corpus, SummaryTask

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
class Samsum(SummaryTask):
    """Summarise a chat: 818 for validation, 819 for testing; the 14,732 to learn from are on the hub alone.

    Gliwa et al. 2019.
    Differs from the paper: ROUGE by rouge-score with stems, where the paper used py-rouge.
    """

    corpus: ClassVar[Corpus] = Corpus(DATA, "dialogue", "summary", INSTRUCTION, MAX_NEW_TOKENS)
