"""Whether the cosine of two sentence vectors ranks the pairs of STS 2015 as people do."""

from __future__ import annotations

from collections.abc import Iterator

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example
from harness.tasks.embedding._similarity import SimilarityTask, dataset, scored_pairs


@task(
    version=1,
    doors=("embed",),
    paper="Agirre et al. 2015, SemEval-2015 Task 2",
    licence="scores CC BY-SA 4.0; sentences under the terms of their sources",
    differs="none",
    chance=0.0,
)
class Sts15(SimilarityTask):
    """3,000 pairs of SemEval 2015 (answers-forums, answers-students, belief, headlines, images).

    Spearman's correlation of cosine and score over the pairs of all subsets together (SimCSE's "all" setting), in the
    released, untokenised text; the breakdown shows each subset.

    Agirre et al. 2015, SemEval-2015 Task 2.
    Differs from the paper: none.
    """

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream the pairs."""
        return scored_pairs("sts15", split, sources)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        return sources.digest(dataset("sts15"), split)
