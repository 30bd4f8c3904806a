"""Whether a sentence tells an opinion or a plot, read from its vector."""

from __future__ import annotations

from harness.api.registry import task
from harness.tasks.embedding._sentences import FoldedTask, Stored

STORED = Stored(
    name="subj",
    sha256="e2f5239060b76be26eb5f66ed31cd8d980266079b027c992711b77ccdec4a3f1",
    classes=2,
    official={},
)


@task(
    version=1,
    doors=("label",),
    paper="Pang, Lee 2004, A Sentimental Education; Conneau, Kiela 2018, SentEval",
    licence="not stated (research use)",
    differs="one fold of ten a run, drawn by digest; the paper averages ten, with an inner cross-validation",
    chance=0.5,
)
class Subjectivity(FoldedTask):
    """SUBJ: 10,000 sentences, subjective (reviews) or objective (plot summaries).

    The set has no official test: fold `fold` of ten is tested, a tenth of the rest validates.
    `subj:fold=0,subj:fold=1,...` runs the whole cross-validation.

    Pang, Lee 2004, A Sentimental Education.
    Differs from the paper: one fold of ten a run, drawn by digest; the paper averages ten folds, with an
    inner cross-validation.
    """

    @property
    def stored(self) -> Stored:
        """The file."""
        return STORED
