"""How often do intervals hold the truth, how often do tests err, and how long do they take?

python benchmarks/intervals.py [--fast] [--datasets 2000]

Coverage of 95% intervals and their median width, over data sets drawn from a law whose value is known; then how often
two runs that differ by nothing are told apart at 5%, by `harness compare`'s test and interval (and how often the test
alone does), and by the boards' letters; then times. --fast draws a tenth of the data sets.

Some laws are too coarse for 95%: of 5 clusters of 10 from Beta(9, 1), 2.4% of data sets have no wrong answer and 6.6%
have one; an interval that holds the truth in those never lies above it, and 97.5% is what its other end leaves.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from math import asin, exp, pi

import numpy as np

from harness.api import registry
from harness.api.metrics import Array, MeanMetric, Metric
from harness.api.types import Example, Generate, Generated, Response
from harness.paired import compare
from harness.pairwise import spreads, student_p
from harness.stats import bounds, interval
from harness.timing import clock

# G clusters
TEXT = "the a of in on cat dog market price rose fell said Monday report company year while and but not to for with"
DATASETS = 2000
UNEVEN = (4, 5, 7, 9, 11, 15, 19, 24, 31, 40)  # sizes of clusters, each 1.3 times the one before

Sample = tuple[Array, Sequence[str] | None]
Law = tuple[str, Metric, Callable[[np.random.Generator], Sample], float]


class Share(MeanMetric):
    scale = (0.0, 1.0)
    name = "share"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        return 0.0


class Mean(MeanMetric):
    name = "mean"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        return 0.0


class Median(Metric):
    name = "median"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        return np.zeros(1)

    def reduce(self, statistics: Array) -> float:
        return float(np.median(statistics))

    def resample(self, statistics: Array, draws: np.ndarray) -> Array:
        return np.median(statistics[draws, 0], axis=1)


def clustered(sizes: Sequence[int], a: float, b: float) -> Law:
    """Right-or-wrong answers in clusters, each with a share of its own from Beta(a, b)."""
    names = [str(group) for group, size in enumerate(sizes) for _ in range(size)]

    def draw(rng: np.random.Generator) -> Sample:
        return (rng.random(len(names)) < np.repeat(rng.beta(a, b, len(sizes)), sizes)).astype(float)[:, None], names

    even = f"of {sizes[0]}" if len(set(sizes)) == 1 else f"of {min(sizes)} to {max(sizes)}"
    return f"right or wrong, {len(sizes)} clusters {even}, Beta({a:g}, {b:g})", Share(), draw, a / (a + b)


def scores(name: str, size: int, draw: Callable[[np.random.Generator, int], Array], truth: float) -> Law:
    return f"{name}, n = {size}", Share(), lambda rng: (draw(rng, size)[:, None], None), truth


def beta(a: float, b: float) -> Callable[[np.random.Generator, int], Array]:
    return lambda rng, size: rng.beta(a, b, size)


def rare(share: float) -> Callable[[np.random.Generator, int], Array]:
    return lambda rng, size: (rng.random(size) < share) * rng.random(size)


def right(share: float) -> Callable[[np.random.Generator, int], Array]:
    return lambda rng, size: (rng.random(size) < share).astype(float)


def heaped(rng: np.random.Generator, size: int) -> Array:
    """Half 0, a fifth 1, the rest between."""
    kind = rng.random(size)
    return np.where(kind < 0.5, 0.0, np.where(kind > 0.8, 1.0, rng.random(size)))


def ratio(name: str, metric: str, size: int, noise: Callable[[np.random.Generator, Array], Array], truth: float) -> Law:
    """A metric of sums over texts of 5 to 30 words."""

    def draw(rng: np.random.Generator) -> Sample:
        words = rng.integers(5, 31, size).astype(float)
        return np.stack([noise(rng, words), words], axis=1), None

    return f"{name}, n = {size}", registry.create("metric", metric), draw, truth


def edits(a: float, b: float) -> Callable[[np.random.Generator, Array], Array]:
    return lambda rng, words: rng.binomial(words.astype(int), rng.beta(a, b, len(words))).astype(float)


def nats(rng: np.random.Generator, words: Array) -> Array:
    return words * (3 + rng.normal(0, 1, len(words)))


def related(metric: str, size: int, rho: float) -> Law:
    """Correlation of normal numbers; the rank correlation of that law is 6/pi arcsin(rho / 2)."""

    def draw(rng: np.random.Generator) -> Sample:
        first = rng.normal(size=size)
        return np.stack([first, rho * first + (1 - rho**2) ** 0.5 * rng.normal(size=size)], axis=1), None

    truth = rho if metric == "pearson" else 6 / pi * asin(rho / 2)
    return f"{metric} of {rho:g}, n = {size}", registry.create("metric", metric), draw, truth


def cells(size: int) -> Law:
    """Mean over five cells of right-or-wrong answers."""
    place = np.repeat(np.arange(5.0), size)

    def draw(rng: np.random.Generator) -> Sample:
        return np.stack([place, rng.random(5 * size) < 0.6 + place / 10], axis=1), None

    return f"mean over 5 cells of {size}", registry.create("metric", "macro_accuracy:tag=cell"), draw, 0.8


def corpora(pool: Array, size: int) -> Law:
    """BLEU of sentences drawn from a pool, whose own BLEU is the truth."""
    bleu = registry.create("metric", "bleu")
    return (
        f"bleu, n = {size}", bleu,
        lambda rng: (pool[rng.integers(0, len(pool), size)], None), bleu.reduce(pool),
    )  # fmt: skip


def plain(name: str, metric: Metric, size: int, draw: Callable[[np.random.Generator, int], Array], truth: float) -> Law:
    return f"{name}, n = {size}", metric, lambda rng: (draw(rng, size).reshape(size, -1), None), truth


def laws() -> list[Law]:
    grown = [round(4 * 10 ** (place / 19)) for place in range(20)]
    pool = sentences(registry.create("metric", "bleu"), 4000, 0.4, 1)

    def lognormal(rng: np.random.Generator, size: int) -> Array:
        return rng.lognormal(size=size)

    def errors(rng: np.random.Generator, size: int) -> Array:
        return np.stack([rng.lognormal(size=size), np.ones(size)], axis=1)

    def normal(rng: np.random.Generator, size: int) -> Array:
        return rng.normal(size=size)

    return [
        clustered([20] * 10, 2, 2), clustered([10] * 5, 9, 1),
        scores("scores of Beta(0.5, 2.5)", 10, beta(0.5, 2.5), 1 / 6),
        scores("5% of scores not 0", 50, rare(0.05), 0.025),
        *(clustered([20] * count, 2, 2) for count in (3, 5, 8, 20)),
        *(clustered(UNEVEN[:: 10 // count][:count], 2, 2) for count in (3, 5, 10)), clustered(grown, 2, 2),
        *(clustered([10] * count, 9, 1) for count in (3, 10, 20)), clustered([20] * 10, 0.5, 9.5),
        *(scores("scores of Beta(0.5, 2.5)", size, beta(0.5, 2.5), 1 / 6) for size in (2, 3, 4, 5, 20, 50)),
        *(scores("scores of Beta(2, 2)", size, beta(2, 2), 0.5) for size in (2, 3, 5, 10)),
        scores("scores heaped at both ends", 20, heaped, 0.35), scores("scores heaped at both ends", 50, heaped, 0.35),
        scores("20% of scores not 0", 20, rare(0.2), 0.1), scores("5% of scores not 0", 200, rare(0.05), 0.025),
        *(scores("right or wrong, 0.9", size, right(0.9), 0.9) for size in (20, 100)),
        *(ratio("wer of Beta(1, 9)", "wer", size, edits(1, 9), 0.1) for size in (5, 10, 50)),
        ratio("wer of Beta(0.1, 5)", "wer", 50, edits(0.1, 5), 0.1 / 5.1),
        *(ratio("perplexity of 20.1", "word_perplexity", size, nats, exp(3)) for size in (3, 10, 50)),
        corpora(pool, 20), corpora(pool, 100),
        *(plain("normal numbers", Mean(), size, normal, 0.0) for size in (2, 3, 5, 10)),
        *(plain("log-normal errors, none below 0", registry.create("metric", "mse"), size, errors, exp(0.5))
          for size in (10, 50, 200)),
        *(plain("log-normal numbers", Mean(), size, lognormal, exp(0.5)) for size in (10, 50, 200)),
        *(plain("median of normal numbers", Median(), size, normal, 0.0) for size in (5, 10, 51)),
        cells(6), cells(30),
        *(related("pearson", size, rho) for size in (10, 20, 50) for rho in (0.0, 0.9)),
        *(related("spearman", size, rho) for size in (10, 20, 50) for rho in (0.0, 0.9)),
    ]  # fmt: skip


def covered(law: Law, datasets: int) -> str:
    name, metric, draw, truth = law
    rng = np.random.default_rng(12345)
    found = [bounds(metric, *draw(rng), seed=place) for place in range(datasets)]
    held = np.mean([one.low <= truth <= one.high for one in found])
    below, above = np.mean([one.high < truth for one in found]), np.mean([one.low > truth for one in found])
    methods = sorted({one.method for one in found})
    width = np.median([one.high - one.low for one in found])
    return f"{name:55} {held:.3f}  below {below:.3f}  above {above:.3f}  width {width:7.3f}  {', '.join(methods)}"


def pairs() -> list[tuple[str, Metric, Callable[[np.random.Generator], tuple[Array, Array, Sequence[str] | None]]]]:
    """Laws of two runs whose values are equal in truth."""
    names = [str(group) for group in range(10) for _ in range(20)]

    def alike(size: int, draw: Callable[[np.random.Generator, int], Array]) -> Callable:
        return lambda rng: (draw(rng, size)[:, None], draw(rng, size)[:, None], None)

    def in_clusters(rng: np.random.Generator) -> tuple[Array, Array, Sequence[str]]:
        runs = [(rng.random(200) < np.repeat(rng.beta(2, 2, 10), 20)).astype(float)[:, None] for _ in range(2)]
        return runs[0], runs[1], names

    def lopsided(rng: np.random.Generator) -> tuple[Array, Array, None]:
        return np.zeros((10, 1)), rng.exponential(size=(10, 1)) - 1, None

    return [
        ("scores of Beta(0.5, 2.5), n = 10", Share(), alike(10, beta(0.5, 2.5))),
        ("10 clusters of 20, Beta(2, 2)", Share(), in_clusters),
        ("right or wrong, 0.5, n = 20", Share(), alike(20, right(0.5))),
        ("right or wrong, 0.9, n = 50", Share(), alike(50, right(0.9))),
        ("right or wrong, 0.98, n = 200", Share(), alike(200, right(0.98))),
        ("5% of scores not 0, n = 50", Share(), alike(50, rare(0.05))),
        ("normal numbers, n = 5", Mean(), alike(5, lambda rng, size: rng.normal(size=size))),
        ("exponential differences of mean 0, n = 10", Mean(), lopsided),
    ]


def told_apart(name: str, metric: Metric, draw: Callable, datasets: int) -> str:
    rng = np.random.default_rng(54321)
    counts = np.zeros(4)
    for place in range(datasets):
        first, second, clusters = draw(rng)
        found = compare(metric, first, second, clusters, seed=place)
        apart = found.interval[0] > 0 or found.interval[1] < 0
        groups = None if clusters is None else np.array(clusters, dtype=int)
        units = len(first) if groups is None else int(groups.max()) + 1
        letters = student_p(np.array([abs(found.value)]), spreads(metric, [first, second], groups), units)[0] < 0.05
        counts += [found.p < 0.05, apart, found.p < 0.05 and not apart, letters]
    test, ends, alone, letters = counts / datasets
    return f"{name:45} test {test:.3f}  interval {ends:.3f}  (test alone {alone:.3f})  letters {letters:.3f}"


def sentences(metric: Metric, count: int, noise: float, seed: int) -> Array:
    rng, words = random.Random(seed), TEXT.split()
    rows = []
    for row in range(count):
        reference = [rng.choice(words) for _ in range(rng.randint(8, 30))]
        guess = [rng.choice(words) if rng.random() < noise else word for word in reference]
        example = Example(str(row), (Generate("", 1),), " ".join(reference))
        rows.append(metric.measure(example, [Generated(" ".join(guess))]))
    return np.array(rows)


def times() -> None:
    bleu = registry.create("metric", "bleu")
    first, second = (sentences(bleu, 3000, noise, 0) for noise in (0.3, 0.32))
    interval(bleu, first[:10])
    start = clock()
    low, high = interval(bleu, first)
    print(f"BLEU, 3,000 sentences: {clock() - start:.3f} s, {bleu.reduce(first):.2f} [{low:.2f}, {high:.2f}]")
    start = clock()
    found = compare(bleu, first, second, draws=1000)
    print(f"paired test of two such runs ({found.test}): {clock() - start:.3f} s, p = {found.p:.4f}")
    many = np.random.default_rng(0).beta(2, 1, size=(1_000_000, 1))
    start = clock()
    low, high = interval(Share(), many)
    print(f"mean of 1,000,000 scores: {clock() - start:.3f} s, {many.mean():.4f} [{low:.4f}, {high:.4f}]")
    rows = [(np.random.default_rng(row).random((10_000, 1)) < 0.7).astype(float) for row in range(50)]
    start = clock()
    variance_P, _ = spreads(Share(), rows)
    print(f"all pairs of 50 rows of 10,000 examples: {clock() - start:.2f} s, {len(variance_P)} pairs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", type=int, default=DATASETS)
    parser.add_argument("--fast", action="store_true", help="a tenth of the data sets")
    options = parser.parse_args()
    datasets = options.datasets // 10 if options.fast else options.datasets
    print(f"coverage of 95% intervals, {datasets} data sets a row (standard error {(0.0475 / datasets) ** 0.5:.4f})")
    for law in laws():
        print(covered(law, datasets), flush=True)
    print(f"\ntwo runs that differ by nothing, told apart at 5%, {datasets} pairs a row")
    for name, metric, draw in pairs():
        print(told_apart(name, metric, draw, datasets), flush=True)
    print()
    times()


if __name__ == "__main__":
    main()
