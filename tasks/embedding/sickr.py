"""Whether the cosine of two sentence vectors ranks the pairs of SICK by relatedness as people do."""

from __future__ import annotations

from collections.abc import Iterator

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example
from harness.tasks.embedding._similarity import SimilarityTask, dataset, scored_pairs


@task(
    version=1,
    doors=("embed",),
    paper="Marelli et al. 2014, A SICK cure for the evaluation of compositional distributional semantic models",
    licence="CC BY-NC-SA 3.0",
    differs="the 4,927 test pairs, as SentEval and SimCSE; MTEB's SICK-R takes all 9,927",
    chance=0.0,
)
class SickR(SimilarityTask):
    """SICK relatedness (1 to 5): 4,500 pairs to train on, 500 for validation, 4,927 for the test.

    The breakdown shows each entailment label.

    Marelli et al. 2014, "A SICK cure for the evaluation of compositional distributional semantic models".
    Differs from the paper: none; note that MTEB's SICK-R takes all 9,927 pairs.
    """

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream the pairs."""
        return scored_pairs("sickr", split, sources)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        return sources.digest(dataset("sickr"), split)
