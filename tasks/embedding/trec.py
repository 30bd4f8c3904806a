"""What kind of answer a question asks for, read from its vector."""

from __future__ import annotations

from harness.api.registry import task
from harness.tasks.embedding._sentences import Stored, TransferTask

STORED = Stored(
    name="trec",
    sha256="7a6359966fbdb0a19a6606e871945a5f887a833ff46f46a44e343105e28d94ab",
    classes=6,
    official={"train": ("train",), "test": ("test",)},
)


@task(
    version=1,
    doors=("label",),
    paper="Li, Roth 2002, Learning Question Classifiers; Conneau, Kiela 2018, SentEval",
    licence="not stated (research use)",
    differs="a held-out tenth of training validates in place of SentEval's inner ten folds",
    chance=0.1667,
)
class Trec(TransferTask):
    """TREC: 5,452 questions to train on and 500 to test; six kinds of answer. A tenth of training validates.

    Li, Roth 2002, Learning Question Classifiers.
    Differs from the paper: a held-out tenth of training validates in place of SentEval's inner ten folds.
    """

    @property
    def stored(self) -> Stored:
        """The file."""
        return STORED
