"""How well spoken dialogues are summarised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, ClassVar

from harness.api.errors import DataError
from harness.api.registry import task
from harness.api.types import DataFile, Dataset, HubData
from harness.tasks.summarization import _gist
from harness.tasks.summarization._corpus import Corpus, Row, SummaryTask

DATA = Dataset(
    name="dialogsum",
    files={
        "train": DataFile(
            "dialogsum/train.jsonl.gz", "258c9489823acfcbbdae430479fa30ac09b048b858d2a16b1b6ce1711ae36a13"
        ),
        "validation": DataFile(
            "dialogsum/dev.jsonl.gz", "40a9f0a3daf8dbd48376254737fd4b8e9b6a125da54642e9afa5882f76bd45a8"
        ),
        "test": DataFile("dialogsum/test.jsonl.gz", "4542bd7997f5c7147a51ee6f853dcaea812cfa788f04040affeac0aed0f29694"),
    },
    columns=("dialogue",),
    licence="CC BY-NC-SA 4.0",
    hub=HubData("knkarthick/dialogsum", {"train": "train", "validation": "validation", "test": "test"}),
)
INSTRUCTION = "Summarize the dialogue in one to three sentences. Answer with the summary only."
MAX_NEW_TOKENS = 128  # references have 19 words on average, 84 at most


@task(
    version=1,
    doors=("generate",),
    paper="Chen, Liu, Chen, Zhang 2021, DialogSum: A Real-Life Scenario Dialogue Summarization Dataset, ACL Findings",
    licence="CC BY-NC-SA 4.0",
    differs="The best of three references counts, where the paper averages over them; ROUGE by rouge-score.",
)
class Dialogsum(SummaryTask):
    """Summarise a dialogue: 12,460 to learn from, 500 for validation, 500 with three references for testing.

    The hub writes a row for each reference of the test set; rows of one dialogue become one example here.

    Chen et al. 2021.
    Differs from the paper: the best reference counts, not their mean; ROUGE by rouge-score, not py-rouge.
    """

    corpus: ClassVar[Corpus] = Corpus(DATA, "dialogue", "summary1", INSTRUCTION, MAX_NEW_TOKENS)

    def pairs(self, rows: Iterable[Row], split: str) -> Iterator[tuple[str, list[str]]]:
        """Each dialogue with all its references."""
        return _with_references(rows, split)


def _with_references(rows: Iterable[Mapping[str, Any]], split: str) -> Iterator[tuple[str, list[str]]]:
    """Each dialogue with its summaries: columns summary1 to summary3, or one row for each of them."""
    if split != "test":
        for row in rows:
            yield str(row["dialogue"]), _references(row, split)
        return
    for dialogue, group in groupby(rows, key=lambda row: str(row["dialogue"])):
        yield dialogue, [reference for row in group for reference in _references(row, split)]


def _references(row: Mapping[str, Any], split: str) -> list[str]:
    names = [name for name in ("summary", "summary1", "summary2", "summary3") if name in row]
    if not names:
        raise DataError(f"dialogsum {split}: a row has neither summary nor summary1; it has {', '.join(row)}.")
    return [reference for name in names for reference in _gist.texts(row, name, f"dialogsum {split}")]
