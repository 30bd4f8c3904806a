"""How long do intervals and paired tests take? BLEU on 3,000 sentences; a paired bootstrap over 50 rows.

python benchmarks/intervals.py
"""

from __future__ import annotations

import random

import numpy as np

from harness.api import registry
from harness.api.metrics import Array, MeanMetric, Metric
from harness.api.types import Example, Generate, Generated, Response
from harness.paired import compare
from harness.stats import interval, resample
from harness.timing import clock

TEXT = "the a of in on cat dog market price rose fell said Monday report company year while and but not to for with"


class Share(MeanMetric):
    scale = (0.0, 1.0)
    name = "share"

    def value(self, example: Example, responses: list[Response]) -> float:
        return 0.0


def sentences(metric: Metric, count: int, noise: float, seed: int) -> Array:
    rng, words = random.Random(seed), TEXT.split()
    rows = []
    for row in range(count):
        reference = [rng.choice(words) for _ in range(rng.randint(8, 30))]
        guess = [rng.choice(words) if rng.random() < noise else word for word in reference]
        example = Example(str(row), (Generate("", 1),), " ".join(reference))
        rows.append(metric.measure(example, [Generated(" ".join(guess))]))
    return np.array(rows)


def main() -> None:
    bleu = registry.create("metric", "bleu")
    first, second = (sentences(bleu, 3000, noise, 0) for noise in (0.3, 0.32))
    interval(bleu, first[:10])
    start = clock()
    low, high = interval(bleu, first, draws=1000)
    print(
        f"BLEU, 3,000 sentences, 1,000 draws: {clock() - start:.3f} s, {bleu.reduce(first):.2f} [{low:.2f}, {high:.2f}]"
    )
    start = clock()
    found = compare(bleu, first, second, draws=1000)
    print(f"paired test of two such runs ({found.test}): {clock() - start:.3f} s, p = {found.p:.4f}")
    rows = [(np.random.default_rng(row).random((10_000, 1)) < 0.7).astype(float) for row in range(50)]
    start = clock()
    values = resample(Share(), rows, draws=1000)
    ends = np.quantile(values[1:] - values[:1], [0.025, 0.975], axis=1)
    print(
        f"paired bootstrap, 10,000 examples x 50 rows, 1,000 draws: {clock() - start:.2f} s, {ends.shape[1]} intervals"
    )


if __name__ == "__main__":
    main()
