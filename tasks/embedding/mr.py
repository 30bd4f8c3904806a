"""Whether a sentence of a film review is favourable, read from its vector."""

from __future__ import annotations

from harness.api.registry import task
from harness.tasks.embedding._sentences import FoldedTask, Stored

STORED = Stored(
    name="mr",
    sha256="57afb24c0fc6b00762be53864090713c23015cab055f95bf852353e97f523622",
    classes=2,
    official={},
)


@task(
    version=1,
    doors=("label",),
    paper="Pang, Lee 2005, Seeing Stars; Conneau, Kiela 2018, SentEval",
    licence="not stated (research use)",
    differs="one fold of ten a run, drawn by digest; the paper averages ten, with an inner cross-validation",
    chance=0.5,
)
class MovieReviews(FoldedTask):
    """MR: 10,662 sentences of film reviews, favourable or not.

    The set has no official test: fold `fold` of ten is tested, a tenth of the rest validates.
    `mr:fold=0,mr:fold=1,...` runs the whole cross-validation.

    Pang, Lee 2005, Seeing Stars.
    Differs from the paper: one fold of ten a run, drawn by digest; the paper averages ten folds, with an
    inner cross-validation.
    """

    @property
    def stored(self) -> Stored:
        """The file."""
        return STORED
