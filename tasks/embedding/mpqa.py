"""Whether a phrase of an opinion is favourable, read from its vector."""

from __future__ import annotations

from harness.api.registry import task
from harness.tasks.embedding._sentences import FoldedTask, Stored

STORED = Stored(
    name="mpqa",
    sha256="a4fc0d917596d0f5d397e1edc8300e46479cc44df3d67e54bc65143969599471",
    classes=2,
    official={},
)


@task(
    version=1,
    doors=("label",),
    paper="Wiebe et al. 2005, Annotating Expressions of Opinions; Conneau, Kiela 2018, SentEval",
    licence="not stated (research use)",
    differs="one fold of ten a run, drawn by digest; the paper averages ten, with an inner cross-validation",
    chance=0.5,
)
class OpinionPolarity(FoldedTask):
    """MPQA: 10,606 phrases, favourable or not; three of them are empty.

    The set has no official test: fold `fold` of ten is tested, a tenth of the rest validates.
    `mpqa:fold=0,mpqa:fold=1,...` runs the whole cross-validation.

    Wiebe et al. 2005, Annotating Expressions of Opinions.
    Differs from the paper: one fold of ten a run, drawn by digest; the paper averages ten folds, with an
    inner cross-validation.
    """

    @property
    def stored(self) -> Stored:
        """The file."""
        return STORED
