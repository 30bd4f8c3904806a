"""Whether a sentence of a product review is favourable, read from its vector."""

from __future__ import annotations

from harness.api.registry import task
from harness.tasks.embedding._sentences import FoldedTask, Stored

STORED = Stored(
    name="cr",
    sha256="dc9d5a7b1eb5db0f6ff9f22db6b7b6a9536ab09fffbbe2d163a176fa8ebabd6c",
    classes=2,
    official={},
)


@task(
    version=1,
    doors=("label",),
    paper="Hu, Liu 2004, Mining and Summarizing Customer Reviews; Conneau, Kiela 2018, SentEval",
    licence="not stated (research use)",
    differs="one fold of ten a run, drawn by digest; the paper averages ten, with an inner cross-validation",
    chance=0.5,
)
class CustomerReviews(FoldedTask):
    """CR: 3,775 sentences of product reviews, favourable or not; four of them are empty.

    The set has no official test: fold `fold` of ten is tested, a tenth of the rest validates.
    `cr:fold=0,cr:fold=1,...` runs the whole cross-validation.

    Hu, Liu 2004, Mining and Summarizing Customer Reviews.
    Differs from the paper: one fold of ten a run, drawn by digest; the paper averages ten folds, with an
    inner cross-validation.
    """

    @property
    def stored(self) -> Stored:
        """The file."""
        return STORED
