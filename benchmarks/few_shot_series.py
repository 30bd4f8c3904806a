"""Compare five series classifiers on the sixteen UEA and UCR sets with 1 and 5 training cases a class, over five seeds.

Run: python benchmarks/few_shot_series.py [--out runs/few_shot_series] [--seeds 5] [--k 1,5]

This is one `harness run`; the same command again goes on where it was stopped. `harness publish` makes the table.
"""

from __future__ import annotations

import argparse
import sys

from harness import cli
from harness.tasks.few_shot_series._archive import SETS

MODELS = (
    "series/euclidean_1nn",
    # a tenth of the length, the usual band: unlimited warping of series of 1,460 steps alone would take the hour
    "series/dtw_1nn:window=0.1",
    "series/minirocket",
    # a tenth of the paper's kernels keeps the whole comparison under an hour on two cores
    "series/rocket:kernels=1000",
    "series/cnn",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="runs/few_shot_series")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--k", default="1,5", help="training cases a class")
    parser.add_argument("--sets", default=",".join(SETS))
    asked = parser.parse_args()
    tasks = [f"few_shot_series/uea:dataset={name},k={k}" for name in asked.sets.split(",") for k in asked.k.split(",")]
    seeds = ",".join(map(str, range(asked.seeds)))
    command = ["run", "--task", ",".join(tasks), "--model", ",".join(MODELS), "--seed", seeds, "--out", asked.out]
    return cli.main([*command, "--batch-tokens", "200000"])


if __name__ == "__main__":
    sys.exit(main())
