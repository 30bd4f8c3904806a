"""Does S4D read images pixel by pixel better than a transformer of as many parameters? Digits of 64 pixels, 3 seeds.

    python benchmarks/zoo/digits.py [--steps 2000] [--seeds 3] [--size 26000] [--out runs/zoo]

The transformer sees all pixels at once (no causal mask), with the better of rotary and learned positions to be read
from the table. The interval of the difference resamples test images, each with its answers of all seeds; the
differences of the single seeds stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from _grid import Wanted, chosen, parser, results, table

from harness import paired
from harness.api import registry
from harness.results import RunResult

ATTENTION = ("transformer:causal=False", "transformer:causal=False,positions=learned")


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
    made = parser(__doc__, steps=2000, seeds=3, out="runs/zoo", limit=None)
    made.add_argument("--size", type=int, default=26_000, help="most parameters of a model")
    asked = made.parse_args()
    s4d, *attention = (f"sequence/{name}" for name in ("s4d", *ATTENTION))
    sized = {name: f"{name}{',' if ':' in name else ':'}size={asked.size}" for name in (s4d, *attention)}
    wanted = chosen([Wanted(spec) for spec in sized.values()], asked.models)
    found = results("long_range/image:source=digits", [item.model for item in wanted], asked)
    print(table(wanted, found))
    for name in attention:
        first, second = found.get(sized[name], []), found.get(sized[s4d], [])
        if first and len(first) == len(second):
            print(f"s4d - {name.removeprefix('sequence/')}: {difference(first, second)}")


if __name__ == "__main__":
    main()
