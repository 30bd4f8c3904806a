"""How well news articles are summarised in a few highlights."""

from __future__ import annotations

from typing import ClassVar

from harness.api.registry import task
from harness.api.types import Dataset, HubData
from harness.tasks.summarization._corpus import Corpus, SummaryTask

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
DATA = Dataset(
    name="cnn_dailymail",
    files={},
    columns=("article", "highlights"),
    licence="Apache-2.0 (of the collection)",
    hub=HubData("abisee/cnn_dailymail", SPLITS, config="3.0.0"),
)
INSTRUCTION = "Summarize the article in three or four short sentences, one a line. Answer with the summary only."
MAX_NEW_TOKENS = 160  # See et al. 2017 write 120 words at most


@task(
    version=1,
    doors=("generate",),
    paper="Hermann et al. 2015; See, Liu, Manning 2017, Get To The Point, arXiv:1704.04368",
    licence="Apache-2.0 (of the collection)",
    differs="ROUGE by rouge-score; See et al. used pyrouge.",
)
class CnnDailymail(SummaryTask):
    """Summarise an article in its highlights, one a line: 287,113 to learn from, 13,368 for validation, 11,490 to test.

    The rows come from the hub, or from your own `<split>.jsonl` under --own cnn_dailymail=FOLDER.

    See, Liu, Manning 2017 (version 3.0.0, not anonymised).
    Differs from the paper: ROUGE by rouge-score, where the paper used pyrouge.
    """

    corpus: ClassVar[Corpus] = Corpus(DATA, "article", "highlights", INSTRUCTION, MAX_NEW_TOKENS)
