"""How well news articles are said in one sentence."""

from __future__ import annotations

from typing import ClassVar

from harness.api.registry import task
from harness.api.types import Dataset, HubData
from harness.tasks.summarization._corpus import Corpus, SummaryTask

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
DATA = Dataset(
    name="xsum",
    files={},
    columns=("document", "summary"),
    licence="not stated; the article text belongs to the BBC",
    hub=HubData("EdinburghNLP/xsum", SPLITS),
)
INSTRUCTION = "Summarize the article in one sentence. Answer with the sentence only."
MAX_NEW_TOKENS = 80  # Narayan et al. 2018: references have 23 words on average


@task(
    version=1,
    doors=("generate",),
    paper="Narayan, Cohen, Lapata 2018, Don't Give Me the Details, Just the Summary!, arXiv:1808.08745",
    licence="not stated; the article text belongs to the BBC",
    differs="ROUGE by rouge-score; the paper used pyrouge.",
)
class Xsum(SummaryTask):
    """Summarise an article in one sentence: 204,045 to learn from, 11,332 for validation, 11,334 for testing.

    The rows come from the hub, or from your own `<split>.jsonl` under --own xsum=FOLDER.

    Narayan, Cohen, Lapata 2018.
    Differs from the paper: ROUGE by rouge-score, where the paper used pyrouge.
    """

    corpus: ClassVar[Corpus] = Corpus(DATA, "document", "summary", INSTRUCTION, MAX_NEW_TOKENS)
