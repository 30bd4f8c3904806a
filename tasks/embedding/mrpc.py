"""Whether two sentences say the same, read from their vectors."""

from __future__ import annotations

from harness.api.registry import task
from harness.tasks.embedding._sentences import Stored, TransferTask

STORED = Stored(
    name="mrpc",
    sha256="0971cad93f29984564c3cba4600a53fb6ad5f3bb8fdbc79e9f2f73a1f9d33a9c",
    classes=2,
    official={"train": ("train",), "validation": ("val",), "test": ("test",)},
    columns=("sentence1", "sentence2"),
)


@task(
    version=1,
    doors=("label",),
    paper="Dolan, Brockett 2005, Automatically Constructing a Corpus; Conneau, Kiela 2018, SentEval",
    licence="not stated (research use)",
    differs="500 official training pairs validate, in place of SentEval's inner ten folds",
    chance=0.5,
)
class Mrpc(TransferTask):
    """MRPC: 3,576 pairs to train on, 500 for validation, 1,725 for the test; paraphrases or not.

    Dolan, Brockett 2005, Automatically Constructing a Corpus of Sentential Paraphrases.
    Differs from the paper: 500 official training pairs validate, in place of SentEval's inner ten folds.
    """

    @property
    def stored(self) -> Stored:
        """The file."""
        return STORED
