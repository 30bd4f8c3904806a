"""How well cosine ranks sentence pairs, averaged over the seven sets that papers report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from harness.api.errors import UsageError
from harness.api.protocols import Sources
from harness.api.registry import task
from harness.api.types import Example
from harness.tasks.embedding._mean_spearman import MeanSpearman
from harness.tasks.embedding._similarity import SETS, SimilarityTask, dataset, scored_pairs


@task(
    version=1,
    doors=("embed",),
    paper="Conneau, Kiela 2018, SentEval, arXiv:1803.05449; Gao et al. 2021, SimCSE, arXiv:2104.08821",
    licence="scores CC BY-SA 4.0 (SICK: CC BY-NC-SA 3.0); sentences under the terms of their sources",
    differs="released text, not SentEval's tokenised copy",
    chance=0.0,
)
class StsAverage(SimilarityTask):
    """STS12 to STS16, STS-B and SICK-R in one run: the mean of their seven Spearman correlations.

    `pairs` (0: all) takes that many pairs of each set, evenly spread over it, for machines on which 18,850 pairs take
    too long; such a mean is a sample's and is signed as one. The breakdown by `set` shows the seven numbers. Sets take
    turns, so a run with a limit sees all of them; the mean is undefined until each set has two pairs.

    Conneau, Kiela 2018, "SentEval"; Gao et al. 2021, "SimCSE" (the "all" setting).
    Differs from the paper: released text, not SentEval's tokenised copy.
    """

    pairs: int = 0  # of each set

    def __post_init__(self) -> None:
        """Refuse samples without a rank."""
        if self.pairs < 0 or self.pairs == 1:
            raise ValueError(f"pairs={self.pairs}; a rank correlation needs 2 or more pairs of a set (0: all).")

    @property
    def metrics(self) -> tuple[Any, ...]:
        """The mean first; the pooled ones serve the breakdown by set."""
        return (MeanSpearman(SETS), "spearman", "pearson")

    def examples(self, split: str, seed: int, sources: Sources) -> Iterator[Example]:
        """One pair of each set in turn, until the last set is told."""
        if split != "test":
            raise UsageError(f"embedding/sts_average has no split {split!r}; it has test.")
        parts = {name: self._part(name, sources) for name in SETS}
        for place in range(max(map(len, parts.values()))):
            for name, part in parts.items():
                if place < len(part):
                    yield replace(part[place], tags={"set": name})

    def _part(self, name: str, sources: Sources) -> list[Example]:
        whole = list(scored_pairs(name, "test", sources))
        if not self.pairs or self.pairs >= len(whole):
            return whole
        return [whole[place * len(whole) // self.pairs] for place in range(self.pairs)]

    def data_digest(self, split: str, sources: Sources) -> str:
        """Digests of the three files."""
        return "+".join(sources.digest(dataset(name), "test") for name in ("sts12", "stsb", "sickr"))
