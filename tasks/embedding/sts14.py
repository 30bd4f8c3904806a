"""Whether the cosine of two sentence vectors ranks the pairs of STS 2014 as people do."""

from __future__ import annotations

from collections.abc import Iterator

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example
from harness.tasks.embedding._similarity import SimilarityTask, dataset, scored_pairs


@task(
    version=1,
    doors=("embed",),
    paper="Agirre et al. 2014, SemEval-2014 Task 10",
    licence="scores CC BY-SA 4.0; sentences under the terms of their sources",
    differs="none",
    chance=0.0,
)
class Sts14(SimilarityTask):
    """3,750 pairs of SemEval 2014 (deft-forum, deft-news, headlines, images, OnWN, tweet-news).

    Spearman's correlation of cosine and score over the pairs of all subsets together (SimCSE's "all" setting), in the
    released, untokenised text; the breakdown shows each subset.

    Agirre et al. 2014, SemEval-2014 Task 10.
    Differs from the paper: none.
    """

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream the pairs."""
        return scored_pairs("sts14", split, sources)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        return sources.digest(dataset("sts14"), split)
