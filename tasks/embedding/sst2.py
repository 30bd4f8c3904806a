"""Whether a sentence of the sentiment treebank is favourable, read from its vector."""

from __future__ import annotations

from harness.api.registry import task
from harness.tasks.embedding._sentences import Stored, TransferTask

STORED = Stored(
    name="sst2",
    sha256="d3e2213fe9718b385776771231bd1911932b1de55f3ddea09d2b6092187b716d",
    classes=2,
    official={"train": ("train",), "validation": ("dev",), "test": ("test",)},
)


@task(
    version=1,
    doors=("label",),
    paper="Socher et al. 2013, Recursive Deep Models for Semantic Compositionality; Conneau, Kiela 2018, SentEval",
    licence="not stated (research use)",
    differs="training sentences only, where SentEval adds the labelled phrases of the training trees",
    chance=0.5,
)
class Sst2(TransferTask):
    """SST-2: 6,920 sentences to train on, 872 for validation, 1,821 for the test; phrases are not used.

    Socher et al. 2013, Recursive Deep Models for Semantic Compositionality.
    Differs from the paper: training sentences only, where SentEval adds the labelled phrases of the training trees.
    """

    @property
    def stored(self) -> Stored:
        """The file."""
        return STORED
