"""Does S4D read images pixel by pixel better than a transformer of as many parameters? Digits of 64 pixels, 3 seeds.

    python benchmarks/zoo/digits.py [--steps 1200] [--seeds 3] [--out runs/zoo]

The widths give parameters within 5%. The transformer sees all pixels at once (no causal mask) and has rotary
positions, which do better here than learned ones (`positions=learned`). The interval of the difference resamples test
images, each with its answers of all seeds; the differences of the single seeds stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from _grid import Wanted, chosen, parser, results, table

from harness import paired
from harness.api import registry
from harness.results import RunResult

S4D = "sequence/s4d:width=48"
TRANSFORMER = "sequence/transformer:causal=False,heads=2,width=36"


def statistics(runs: Sequence[RunResult]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.concatenate([run.samples.statistics["accuracy"] for run in runs if run.samples is not None])


def difference(first: Sequence[RunResult], second: Sequence[RunResult]) -> str:
    """Second less first in points, paired by test image."""
    names = [name for run in first if run.samples is not None for name in run.samples.ids]
    found = paired.compare(registry.create("metric", "accuracy"), statistics(first), statistics(second), clusters=names)
    low, high = found.interval
    seeds = [b.metrics["accuracy"].value - a.metrics["accuracy"].value for a, b in zip(first, second, strict=True)]
    single = ", ".join(f"{100 * value:+.1f}" for value in seeds)
    return f"{100 * found.value:+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}], p {found.p:.2g}; by seed {single}"


def main() -> None:
    asked = parser(__doc__, steps=1200, seeds=3, out="runs/zoo", limit=None).parse_args()
    wanted = chosen([Wanted(S4D), Wanted(TRANSFORMER)], asked.models)
    found = results("long_range/image:source=digits", [item.model for item in wanted], asked)
    print(table(wanted, found))
    first, second = found.get(TRANSFORMER, []), found.get(S4D, [])
    if first and len(first) == len(second):
        print(f"s4d - transformer: {difference(first, second)}")


if __name__ == "__main__":
    main()
