"""How often is the regression gate wrong? A against A, planted slow-downs, planted accuracy drops.

    python benchmarks/gate.py [--same 100] [--planted 20] [--slower 0.2 0.1 0.05] [--seconds 120] [--accuracy 1000]

Accuracy: beside what is caught stands what any McNemar test with 2% of false alarms could catch, worked out exactly
from the law of the answers; no margin stands in its way.

Speed: the work is plain Python of about 2 ms; the candidate repeats a share of it to be 5, 10 or 20% slower. Run it on
the machine that the gate will run on, with that machine's other load.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.stats import binom

from harness.api.metrics import MeanMetric
from harness.api.types import Example, Response
from harness.gate.accuracy import AccuracyRules, judge
from harness.gate.sides import Side
from harness.gate.speed import SpeedRules, compare_speed
from harness.stats import wilson
from harness.timing import clock

WORK = """
def work(steps=int({steps})):
    total = 0
    for number in range(steps):
        total += number * number % 7
    return total
"""
STEPS = 20_000


class Accuracy(MeanMetric):
    scale = (0.0, 1.0)
    name = "accuracy"

    def value(self, example: Example, responses: list[Response]) -> float:
        return 0.0


def side(folder: Path, name: str, slower: float) -> Side:
    site = folder / f"{name}-{slower:g}"
    site.mkdir(exist_ok=True)
    (site / "planted_work.py").write_text(WORK.format(steps=STEPS * (1 + slower)), encoding="utf-8")
    return Side(name, site)


def speed(folder: Path, slower: float, repeats: int, rules: SpeedRules) -> None:
    kinds: Counter[str] = Counter()
    seconds, rounds, ratios = [], [], []
    for repeat in range(repeats):
        start = clock()
        sides = side(folder, "reference", 0.0), side(folder, "candidate", slower)
        chosen = SpeedRules(margin=rules.margin, seconds=rules.seconds, seed=repeat)
        (found,) = compare_speed(*sides, ["call:planted_work:work"], chosen)
        kinds[found.kind] += 1
        seconds.append(clock() - start)
        rounds.append(found.count)
        ratios.append(found.change)
        print(f"\r{repeat + 1} of {repeats}: {dict(kinds)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    low, high = wilson(kinds["worse"], repeats)
    print(
        f"speed {slower:+.0%}, margin {rules.margin:.0%}: worse in {kinds['worse']} of {repeats} "
        f"(95% interval {low:.1%} to {high:.1%}), {dict(kinds)}; seconds median {np.median(seconds):.1f}, "
        f"max {max(seconds):.1f}; rounds median {np.median(rounds):.0f}, max {max(rounds)}; "
        f"measured change {np.median(ratios):+.1%}, spread {np.std(ratios):.1%}",
        flush=True,
    )


def accuracy(drop: float, churn: float, repeats: int, rules: AccuracyRules) -> None:
    """Answers of 1,000 examples, 70% right; `churn` of them change either way, `drop` more turn wrong."""
    rng = np.random.default_rng(0)
    kinds: Counter[str] = Counter()
    for _ in range(repeats):
        before = rng.random(1000) < 0.7
        lost = rng.random(1000) < (drop + churn / 2) / 0.7
        won = rng.random(1000) < (churn / 2) / 0.3
        after = np.where(before, ~lost, won)
        (found,) = judge([("cell", Accuracy(), before[:, None] * 1.0, after[:, None] * 1.0, None)], rules)
        kinds[found.kind] += 1
    low, high = wilson(kinds["worse"], repeats)
    print(
        f"accuracy {-drop:+.1%}, {churn:.1%} of answers changed at random, margin {rules.margin:.1%}: "
        f"worse in {kinds['worse']} of {repeats} (95% interval {low:.1%} to {high:.1%}; "
        f"the test's own limit at 2% of false alarms {attainable(drop, churn):.1%}), {dict(kinds)}",
        flush=True,
    )


def attainable(drop: float, churn: float, examples: int = 1000, level: float = 0.02) -> float:
    """Power of the one-sided mid-p McNemar test: P(p < level) over the changed answers, and over those of them lost."""
    lost, won = drop + churn / 2, churn / 2
    if lost + won == 0:
        return 0.0
    power = 0.0
    for changed in range(1, examples + 1):
        weight = binom.pmf(changed, examples, lost + won)
        if weight > 1e-12:
            won_C = np.arange(changed + 1)
            p_C = binom.cdf(won_C, changed, 0.5) - binom.pmf(won_C, changed, 0.5) / 2
            power += weight * binom.pmf(won_C, changed, won / (lost + won))[p_C < level].sum()
    return float(power)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--same", type=int, default=100, help="A against A runs")
    parser.add_argument("--planted", type=int, default=20, help="runs of each planted slow-down")
    parser.add_argument("--slower", type=float, nargs="*", default=[0.2, 0.1, 0.05], help="planted shares")
    parser.add_argument("--seconds", type=float, default=120.0, help="time limit of one speed check")
    parser.add_argument("--accuracy", type=int, default=1000, help="runs of each planted accuracy drop")
    options = parser.parse_args()
    for drop, churn in ((0.0, 0.0), (0.0, 0.01), (0.0, 0.04), (0.02, 0.0), (0.02, 0.01), (0.02, 0.02), (0.02, 0.04)):
        if options.accuracy:
            accuracy(drop, churn, options.accuracy, AccuracyRules(draws=200))
    rules = SpeedRules(seconds=options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        plan = [(0.0, options.same), *((slower, options.planted) for slower in options.slower)]
        for slower, repeats in plan:
            if repeats:
                speed(Path(folder), slower, repeats, rules)


if __name__ == "__main__":
    main()
