"""Whose sense of direction survives larger images? Arrow pointing, trained on 24 pixels a side and read at 48.

    python benchmarks/zoo/arrows.py [--steps 6000] [--seeds 2] [--patch 4] [--out runs/zoo]

Patches of 4 pixels give 6 tokens a side in training and 12 at test; 2 pixels give the paper's numbers, 12 and 24, at an
eighth of its scale. pLSTM should lose less accuracy at twice the size than transformers (ViT) of as many parameters
(within 1%), which see all patches at once, with rotary positions along the flattened image or none. Every fit is read
at both sizes. pLSTM's sources and marks start at 1/2: from the paper's -5 nothing is learned in thousands of steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _fitted import fitted, hits
from numpy.typing import NDArray
from tabulate import tabulate

from harness import stats
from harness.api import registry
from harness.models.sequence._backbone import parameters

SHAPE = "width=32,learning_rate=0.001"
MODELS = (
    "plstm:start_bias=0",
    "plstm:mode=D,start_bias=0",
    "transformer:causal=False,ratio=2.3125",
    "transformer:causal=False,positions=none,ratio=2.3125",
)


def share(right: NDArray[np.float64]) -> str:
    """Accuracy and its 95% interval over test images."""
    low, high = stats.interval(registry.create("metric", "accuracy"), right[:, None])
    return f"{right.mean():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--patch", type=int, default=4, help="pixels a side of a token")
    parser.add_argument("--models", default="", help="only specs that contain this")
    parser.add_argument("--examples", type=int, default=1000, help="test images of each size")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"))
    asked = parser.parse_args()
    rows, task = [], f"long_range/arrow_pointing:patch={asked.patch},train=20000"
    for name in filter(lambda name: asked.models in name, MODELS):
        spec = f"sequence/{name},{SHAPE}"
        near, far = [], []
        for seed in range(asked.seeds):
            model = fitted(spec, task, seed=seed, steps=asked.steps, out=asked.out)
            for size, found in ((24, near), (48, far)):
                found.append(hits(model, f"{task},test={asked.examples},test_size={size}", seed=seed))
            print(f"{name}, seed {seed}: {near[-1].mean():.3f} at 24, {far[-1].mean():.3f} at 48", flush=True)
        lost = [float(small.mean() - large.mean()) for small, large in zip(near, far, strict=True)]
        single = " ".join(f"{value:+.3f}" for value in lost)
        shares = [share(np.concatenate(found)) for found in (near, far)]
        rows.append([name, parameters(model.network), *shares, f"{np.mean(lost):+.3f}", single])
    heads = ["model", "parameters", "at 24", "at 48", "lost", "lost by seed"]
    print(tabulate(rows, heads, disable_numparse=True))


if __name__ == "__main__":
    main()
