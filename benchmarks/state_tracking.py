"""Compare sequence models on parity: train on 40 bits, read positions 128..256 of 256, every position supervised.

Run: python benchmarks/state_tracking.py [--out runs/state_tracking] [--steps 1500] [--seeds 1] [--models a,b]

Recurrent cells keep one bit for ever; attention and linear memories with decays in 0..1 are the negative controls.
This is one `harness run`; the same command again goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys

from harness import cli

SOLVE = ("sequence/lstm", "sequence/gru", "sequence/slstm")
CONTROLS = ("sequence/transformer", "sequence/mamba2", "sequence/mlstm", "sequence/s4d", "sequence/aaren")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="runs/state_tracking")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--models", default=",".join((*SOLVE, *CONTROLS)))
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--limit", type=int, default=200, help="test sequences")
    asked = parser.parse_args()
    models = ",".join(f"{name}:width={asked.width}" for name in asked.models.split(","))
    seeds = ",".join(map(str, range(asked.seeds)))
    command = ["run", "--task", "long_range/parity", "--model", models, "--budget", f"steps={asked.steps}"]
    return cli.main([*command, "--seed", seeds, "--limit", str(asked.limit), "--out", asked.out])


if __name__ == "__main__":
    sys.exit(main())
