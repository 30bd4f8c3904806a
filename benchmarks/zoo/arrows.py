"""Whose sense of direction survives larger images? Arrow pointing, trained on 24 pixels a side and read at 48.

    python benchmarks/zoo/arrows.py [--steps 6000] [--seeds 2] [--patch 4] [--out runs/zoo]

Patches of 4 pixels give 6 tokens a side in training and 12 at test; 2 pixels give the paper's numbers, 12 and 24, at an
eighth of its scale. pLSTM should lose less accuracy at twice the size than transformers (ViT) of as many parameters
(within 1%), which see all patches at once, with rotary positions along the flattened image or none. Every fit is read
at both sizes, by accuracy and by the area under the ROC curve: an average over four times as many tokens moves all
scores to one side, which accuracy counts as knowing nothing and the area does not. pLSTM's sources and marks start at
1/2: from the paper's -5 nothing is learned in thousands of steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _fitted import answers, fitted, hits
from numpy.typing import NDArray
from tabulate import tabulate

from harness import stats
from harness.api import registry
from harness.models.sequence._backbone import parameters

SIZES = (24, 48)  # pixels a side, of training and at twice that
SHAPE = "width=32,learning_rate=0.001"
MODELS = (
    "plstm:start_bias=0",
    "plstm:mode=D,start_bias=0",
    "transformer:causal=False,ratio=2.3125",
    "transformer:causal=False,positions=none,ratio=2.3125",
)


def area(margins: Sequence[float], pointing: Sequence[int]) -> float:
    """Area under the ROC curve: how often an arrow that points scores above one that does not, ties counting half."""
    yes, no = (
        np.array([margin for margin, label in zip(margins, pointing, strict=True) if label == k]) for k in (1, 0)
    )
    return float(np.mean((yes[:, None] > no) + 0.5 * (yes[:, None] == no)))


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
        right: dict[int, list[NDArray[np.float64]]] = {size: [] for size in SIZES}
        areas: dict[int, list[float]] = {size: [] for size in SIZES}
        for seed in range(asked.seeds):
            model = fitted(spec, task, seed=seed, steps=asked.steps, out=asked.out)
            for size in SIZES:
                found = answers(model, f"{task},test={asked.examples},test_size={size}", seed=seed)
                right[size].append(hits(found))
                areas[size].append(area([scores[1] - scores[0] for scores, _ in found], [same for _, same in found]))
            seen = [f"{right[size][-1].mean():.3f} (area {areas[size][-1]:.3f}) at {size}" for size in SIZES]
            print(f"{name}, seed {seed}: {', '.join(seen)}", flush=True)
        near, far = SIZES
        lost = [float(small.mean() - large.mean()) for small, large in zip(right[near], right[far], strict=True)]
        fallen = [small - large for small, large in zip(areas[near], areas[far], strict=True)]
        shares = [share(np.concatenate(right[size])) for size in SIZES]
        single = [" ".join(f"{value:+.3f}" for value in values) for values in (lost, fallen)]
        means = [f"{np.mean(areas[size]):.3f}" for size in SIZES]
        rows.append([name, parameters(model.network), *shares, single[0], *means, single[1]])
    heads = ["model", "parameters", "at 24", "at 48", "lost by seed", "area at 24", "area at 48", "lost by seed"]
    print(tabulate(rows, heads, disable_numparse=True))


if __name__ == "__main__":
    main()
