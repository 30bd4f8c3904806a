"""How well the abstract of a paper is said in one sentence."""

from __future__ import annotations

from typing import ClassVar

from harness.api.registry import task
from harness.api.types import DataFile, Dataset, HubData
from harness.tasks.summarization._corpus import Corpus, SummaryTask

DATA = Dataset(
    name="scitldr",
    files={
        "train": DataFile(
            "scitldr_a/train.jsonl.gz", "5c9c1d910cd5d00cb202f7649e355d6e4dd44ed7fd719810d2edf19cb8a06619"
        ),
        "validation": DataFile(
            "scitldr_a/dev.jsonl.gz", "ac12b6ca2a23b96b68bae859dda7ea8562da173bd2f0fa7946fd26c659465124"
        ),
        "test": DataFile("scitldr_a/test.jsonl.gz", "8f9184cdb362ece9bc593f7df474c6ec23acefad4d8f026a416fcfe71608eccc"),
    },
    columns=("source", "target"),
    licence="Apache-2.0",
    hub=HubData("allenai/scitldr", {"train": "train", "validation": "validation", "test": "test"}, config="Abstract"),
)
INSTRUCTION = "Summarize the abstract in one short sentence. Answer with the sentence only."
MAX_NEW_TOKENS = 80  # references have 21 words on average, 68 at most


@task(
    version=1,
    doors=("generate",),
    paper="Cachola, Lo, Cohan, Weld 2020, TLDR: Extreme Summarization of Scientific Documents, Findings of EMNLP",
    licence="Apache-2.0",
    differs="none",
)
class Scitldr(SummaryTask):
    """Summarise an abstract, one sentence a line: 1,992 to learn from, 619 for validation, 618 for testing.

    Several references each; the best one counts, as in the paper. An author's TLDR comes first.

    Cachola et al. 2020 (SciTLDR-A).
    Differs from the paper: none.
    """

    corpus: ClassVar[Corpus] = Corpus(DATA, "source", "target", INSTRUCTION, MAX_NEW_TOKENS)
