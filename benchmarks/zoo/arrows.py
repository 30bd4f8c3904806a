"""Whose sense of direction survives larger images? Arrow pointing, trained on 24 pixels a side and read at 48.

    python benchmarks/zoo/arrows.py [--steps 1500] [--seeds 1] [--size 26000] [--out runs/zoo]

Patches of 2 pixels give 12 tokens a side in training and 24 at test, the paper's numbers at an eighth of its scale.
pLSTM should lose less accuracy at twice the size than transformers (ViT) of as many parameters, which see all patches
at once, with rotary positions along the flattened image or none. Every fit is read at both sizes.
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

MODELS = ("plstm", "plstm:mode=D", "transformer:causal=False", "transformer:causal=False,positions=none")
TASK = "long_range/arrow_pointing:patch=2,train=8000"


def share(right: NDArray[np.float64]) -> str:
    """Accuracy and its 95% interval over test images."""
    low, high = stats.interval(registry.create("metric", "accuracy"), right[:, None])
    return f"{right.mean():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, default=26_000, help="most parameters of a model")
    parser.add_argument("--examples", type=int, default=1000, help="test images of each size")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"))
    asked = parser.parse_args()
    rows = []
    for name in MODELS:
        spec = f"sequence/{name}{',' if ':' in name else ':'}size={asked.size}"
        near, far = [], []
        for seed in range(asked.seeds):
            model = fitted(spec, TASK, seed=seed, steps=asked.steps, out=asked.out)
            for size, found in ((24, near), (48, far)):
                found.append(hits(model, f"{TASK},test={asked.examples},test_size={size}", seed=seed))
            print(f"{name}, seed {seed}: {near[-1].mean():.3f} at 24, {far[-1].mean():.3f} at 48", flush=True)
        lost = [float(small.mean() - large.mean()) for small, large in zip(near, far, strict=True)]
        single = " ".join(f"{value:+.3f}" for value in lost)
        shares = [share(np.concatenate(found)) for found in (near, far)]
        rows.append([name, parameters(model.network), *shares, f"{np.mean(lost):+.3f}", single])
    heads = ["model", "parameters", "at 24", "at 48", "lost", "lost by seed"]
    print(tabulate(rows, heads, disable_numparse=True))


if __name__ == "__main__":
    main()
