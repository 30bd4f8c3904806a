"""gleu: fluency of corrected sentences against their uncorrected sources and several corrections (JFLEG)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from harness.api.errors import HarnessError
from harness.api.metrics import Array, Metric
from harness.api.registry import metric
from harness.api.types import Example, Generate, Response
from harness.metrics._texts import texts

# N examples, F references an example, I iterations, R resamples
ORDER = 4  # n-grams up to this length
WIDTH = 2 + 2 * ORDER  # lengths, then matches and totals of each order


@metric(version=1, paper="Napoles et al. 2015; 2016, GLEU without tuning")
class Gleu(Metric):
    """BP exp(mean_n log p_n), with p_n = (|H & R| - |H & (S - R)|) / |H|: source n-grams left uncorrected cost.

    S are the source's n-grams, S - R those whose n-gram does not occur in the reference. One reference is drawn for
    each sentence, and the corpus score is the mean over `iterations` such draws with the authors' seeds. Texts are
    split at white space (JFLEG comes tokenised). Every example needs the same number of references.

    Differs from the paper: intervals resample the mean of a sentence's statistics over its references.
    """

    iterations: int = 500  # section 3 of the 2016 note

    higher_is_better = True
    unit = "%"
    scale = (0.0, 100.0)

    @property
    def name(self) -> str:
        """Column name."""
        return "gleu"

    @property
    def signature(self) -> str:
        """Name and draws."""
        return f"gleu|order:{ORDER}|iterations:{self.iterations}|tok:none|version:2016"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """Statistics against each reference in turn, [F * WIDTH]."""
        hypothesis, references = texts(self.name, example, responses)
        request = example.requests[0]
        if not isinstance(request, Generate) or not isinstance(request.source, str):
            raise HarnessError(f"gleu: example {example.id!r} has no source text to compare with.")
        rows = [_statistics(hypothesis.split(), request.source.split(), item.split()) for item in references]
        return np.array(rows, dtype=np.float64).ravel()

    def reduce(self, statistics: Array) -> float:
        """Mean over the drawn references."""
        table_NFW = statistics.reshape(len(statistics), -1, WIDTH)
        chosen_IN = _choices(self.iterations, *table_NFW.shape[:2])
        totals_IW = np.zeros((self.iterations, WIDTH))
        for index in range(table_NFW.shape[1]):
            totals_IW += (chosen_IN == index).astype(np.float64) @ table_NFW[:, index]
        return float(_score(totals_IW).mean())

    def resample(self, statistics: Array, draws: NDArray[np.int64]) -> Array:
        """Values [R] from each sentence's mean over its references."""
        expected = statistics.reshape(len(statistics), -1, WIDTH).mean(axis=1)
        return np.array([float(_score(expected[rows].sum(axis=0))) for rows in draws])


def _statistics(hypothesis: list[str], source: list[str], reference: list[str]) -> list[float]:
    values: list[float] = [len(hypothesis), len(reference)]
    for order in range(1, ORDER + 1):
        written, wrong, right = (_ngrams(words, order) for words in (hypothesis, source, reference))
        left_over = Counter({ngram: count for ngram, count in wrong.items() if ngram not in right})
        matches = sum((written & right).values()) - sum((written & left_over).values())
        values += [max(matches, 0), max(len(hypothesis) + 1 - order, 0)]
    return values


def _ngrams(words: list[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + order]) for start in range(len(words) + 1 - order))


def _score(totals: Array) -> Array:
    """GLEU in % of summed statistics [..., WIDTH]; 0 where any of them is 0."""
    length, wanted = totals[..., 0], totals[..., 1]
    matches, possible = totals[..., 2::2], totals[..., 3::2]
    usable = (totals > 0).all(axis=-1)
    precision = np.log(np.where(matches > 0, matches, 1.0) / np.where(possible > 0, possible, 1.0)).mean(axis=-1)
    brevity = np.minimum(0.0, 1.0 - wanted / np.where(length > 0, length, 1.0))
    return np.asarray(np.where(usable, 100.0 * np.exp(brevity + precision), 0.0))


@cache
def _choices(iterations: int, examples: int, references: int) -> NDArray[np.int64]:
    """The reference of each example in each iteration, [I, N], as the authors' script draws them."""
    rows = []
    for iteration in range(iterations):
        rng = random.Random(iteration * 101)
        rows.append([rng.randint(0, references - 1) for _ in range(examples)])
    return np.array(rows, dtype=np.int64).reshape(iterations, examples)
