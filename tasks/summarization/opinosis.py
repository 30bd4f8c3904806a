"""How well a hundred opinions on one thing are summarised."""

from __future__ import annotations

from typing import ClassVar

from harness.api.registry import task
from harness.api.types import DataFile, Dataset, HubData
from harness.tasks.summarization._corpus import Corpus, SummaryTask

DATA = Dataset(
    name="opinosis",
    files={
        "test": DataFile("opinosis/all.jsonl.gz", "879472f7968ed2db872ae7a1bda3bb9d56519890394729c4ec202f122eaa8067"),
    },
    columns=("sentences", "summaries"),
    licence="Apache-2.0 (of the repository)",
    # the main branch is a program, which nothing here runs; the hub's own conversion to tables is
    hub=HubData(
        id="kavgan/opinosis",
        splits={"test": "train"},
        revision="refs/convert/parquet",
        columns={"sentences": "review_sents", "summaries": "summaries"},
    ),
)
INSTRUCTION = "Summarize the opinions in one or two short sentences. Answer with the summary only."
MAX_NEW_TOKENS = 80  # references have 17 words on average, 62 at most


@task(
    version=1,
    doors=("generate",),
    paper="Ganesan, Zhai, Han 2010, Opinosis: A Graph-Based Approach to Abstractive Summarization, COLING",
    licence="Apache-2.0 (of the repository)",
    differs="The best of about five references counts; the paper averages over them with jackknifing and recall.",
)
class Opinosis(SummaryTask):
    """Summarise about 100 review sentences on a topic, one a line; 51 topics, all for testing.

    The hub's rows hold the sentences of a topic as one text, which stays as it is.

    Ganesan, Zhai, Han 2010.
    Differs from the paper: F-measure of the best reference, where the paper reports recall with jackknifing.
    """

    corpus: ClassVar[Corpus] = Corpus(DATA, "sentences", "summaries", INSTRUCTION, MAX_NEW_TOKENS)
