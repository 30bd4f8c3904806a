"""Whether the cosine of two sentence vectors ranks the pairs of the STS Benchmark as people do."""

from __future__ import annotations

from collections.abc import Iterator

from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example
from harness.tasks.embedding._similarity import SimilarityTask, dataset, scored_pairs


@task(
    version=1,
    doors=("embed",),
    paper="Cer et al. 2017, SemEval-2017 Task 1, arXiv:1708.00055",
    licence="scores CC BY-SA 4.0; sentences under the terms of their sources",
    differs="Spearman's correlation is the headline, as in SentEval and MTEB; the task's own was Pearson's",
    chance=0.0,
)
class StsB(SimilarityTask):
    """The STS Benchmark: 5,749 pairs to train on, 1,500 for validation, 1,379 for the test.

    The breakdown shows each genre (captions, news, forums). Pearson's correlation stands beside Spearman's.

    Cer et al. 2017, "SemEval-2017 Task 1".
    Differs from the paper: Spearman's correlation is the headline, as in SentEval and MTEB.
    """

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """Stream the pairs."""
        return scored_pairs("stsb", split, sources)

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digest of the file."""
        return sources.digest(dataset("stsb"), split)
