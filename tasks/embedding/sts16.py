"""Whether the cosine of two sentence vectors ranks the pairs of STS 2016 as people do."""

from __future__ import annotations

from collections.abc import Iterator

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example
from harness.tasks.embedding._similarity import SimilarityTask, dataset, scored_pairs


@task(
    version=1,
    doors=("embed",),
    paper="Agirre et al. 2016, SemEval-2016 Task 1",
    licence="scores CC BY-SA 4.0; sentences under the terms of their sources",
    differs="none",
    chance=0.0,
)
class Sts16(SimilarityTask):
    """1,186 pairs of SemEval 2016 (answer-answer, headlines, plagiarism, postediting, question-question).

    Spearman's correlation of cosine and score over the pairs of all subsets together (SimCSE's "all" setting), in the
    released, untokenised text; the breakdown shows each subset.

    Agirre et al. 2016, SemEval-2016 Task 1.
    Differs from the paper: none.
    """

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream the pairs."""
        return scored_pairs("sts16", split, sources)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        return sources.digest(dataset("sts16"), split)
