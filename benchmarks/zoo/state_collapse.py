"""How far beyond its training length does Mamba-2 keep a passkey, and what does its state do there? By state size.

    python benchmarks/zoo/state_collapse.py [--steps 1500] [--seeds 1] [--length 64] [--longest 2048] [--out runs/zoo]

Trained on a passkey of 5 digits in `length` random tokens, read at the same and at doubled lengths. The claim: the
longest length above 95% does not fall as the state (N = 4, 8, 16, 32) grows; past the training length the state's norm
grows, and stays flat with the remedies. Three are put into the trained weights without further training: `ceiling`
(the largest norm of a head's state at the training length), `insert` 0.75 with `retain` 0.9999, and a `window` of the
training length, which by its definition forgets a key that lies further back. The fourth goes on training, for `more`
steps on sequences four times as long, through which the state is carried and gradients reach back `length` tokens
(truncated backpropagation through time).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _fitted import answers, fitted, hits, place
from tabulate import tabulate

from harness import sources
from harness.api import registry
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget
from harness.models._training import Recipe, Spec, fit
from harness.models.sequence._learner import Table

SIZES = (4, 8, 16, 32)
SOLVED = 0.95


def longest_solved(accuracy: Mapping[int, float]) -> int:
    """The greatest length up to which every length is above 95%; 0 when the shortest is not."""
    solved = list(takewhile(lambda length: accuracy[length] > SOLVED, sorted(accuracy)))
    return solved[-1] if solved else 0


def norms(network: Any, tokens_BT: torch.Tensor, marks: Sequence[int]) -> list[torch.Tensor]:
    """Frobenius norms [layers, B, heads] of the state after each of `marks` tokens."""
    states, found, begin = None, [], 0
    for mark in marks:
        _, states = network(tokens_BT[:, begin:mark], states=states)
        found.append(torch.stack([state["memory"].flatten(2).norm(dim=-1) for state in states]))
        begin = mark
    return found


def continued(fitted: Any, task: str, folder: Path, *, seed: int, steps: int, reach: int) -> Any:
    """A copy, trained on and kept in `folder`: states are carried on, gradients end `reach` tokens back."""
    made = type(fitted)(deepcopy(fitted.network), fitted.facts, fitted.device)
    data = Table.of(registry.create("task", task).examples("train", seed, sources.from_environment(print)))
    spec = Spec(data.lengths, lambda rows: made.loss(data, rows, reach))
    recipe = Recipe(learning_rate=1e-3, batch_examples=32, batch_tokens=32 * max(data.lengths))
    setting = Setting(sources.from_environment(print), folder=folder)
    fit(made.network, spec, recipe, budget=Budget(steps=steps), seed=seed, setting=setting, meter=SilentMeter())
    return made


def changed(entry: Any, fitted: Any, **choices: float | tuple[float, ...]) -> Any:
    """The same weights in a network with other choices."""
    network = replace(entry, **choices).network(fitted.facts).eval()
    network.load_state_dict(fitted.network.state_dict())
    return type(fitted)(network, fitted.facts, fitted.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--length", type=int, default=64, help="tokens of a training sequence")
    parser.add_argument("--longest", type=int, default=2048, help="tokens of the longest test sequence")
    parser.add_argument("--examples", type=int, default=100, help="test sequences of each length")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--states", type=int, nargs="+", default=list(SIZES), help="numbers a channel (N)")
    parser.add_argument("--more", type=int, default=500, help="training steps of the fourth remedy")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"))
    asked = parser.parse_args()
    lengths = [asked.length]
    while 2 * lengths[-1] <= asked.longest:
        lengths.append(2 * lengths[-1])
    task = f"long_range/hidden_digits:length={asked.length},train=20000"
    rows, grown = [], []
    for size in asked.states:
        for seed in range(asked.seeds):
            spec = f"sequence/mamba2:states={size},width={asked.width}"
            entry = registry.create("model", spec)
            model = fitted(spec, task, seed=seed, steps=asked.steps, out=asked.out)
            longer = f"long_range/hidden_digits:length={4 * asked.length},train=20000"
            folder = place(asked.out, spec, task, asked.steps, longer, asked.more, seed)
            carried = continued(model, longer, folder, seed=seed, steps=asked.more, reach=asked.length)
            # the questions stand behind the last length, since they too are written
            probe = registry.create("task", f"{task},test=32,test_length={asked.longest + asked.length}")
            tokens = np.stack([item.requests[0].sequence for item in probe.examples("test", seed, None)])
            with torch.inference_mode():
                plain = norms(model.network, torch.as_tensor(tokens), lengths)
                ceiling = float(plain[0].max())
                ways = {
                    "as trained": model,
                    "ceiling": changed(entry, model, ceiling=(ceiling,)),
                    "insert 0.75": changed(entry, model, insert=0.75, retain=0.9999),
                    "window": changed(entry, model, window=asked.length),
                    "longer data": carried,
                }
                for way, variant in ways.items():
                    tests = {length: f"{task},test={asked.examples},test_length={length}" for length in lengths}
                    right = {
                        length: float(hits(answers(variant, test, seed=seed)).mean()) for length, test in tests.items()
                    }
                    seen = norms(variant.network, torch.as_tensor(tokens), lengths)
                    growth = [float(norm.mean() / seen[0].mean()) for norm in seen]
                    shown = [f"{right[length]:.3f}" for length in lengths]
                    rows.append([size, seed, way, *shown, longest_solved(right)])
                    grown.append([size, seed, way, *growth])
                    print(f"N {size}, seed {seed}, {way}: {' '.join(shown)}", flush=True)
    print(tabulate(rows, ["N", "seed", "remedy", *map(str, lengths), "longest > 95%"], disable_numparse=True))
    print(f"norm of the state over that after {asked.length} tokens")
    shown = [[*row[:3], *(f"{value:.2f}" for value in row[3:])] for row in grown]
    print(tabulate(shown, ["N", "seed", "remedy", *map(str, lengths)], disable_numparse=True))
    print("medians over seeds")
    heads = ["N", "remedy", "longest > 95%", *(f"norm at {length}" for length in lengths)]
    print(tabulate(medians(rows, grown), heads, disable_numparse=True))


def medians(rows: Sequence[Sequence[Any]], grown: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Of each size and remedy, over its seeds: the longest length and the norms' growth."""
    found = []
    for size, way in dict.fromkeys((row[0], row[2]) for row in rows):
        longest = [row[-1] for row in rows if (row[0], row[2]) == (size, way)]
        growth = np.median([row[3:] for row in grown if (row[0], row[2]) == (size, way)], axis=0)
        found.append([size, way, f"{np.median(longest):g}", *(f"{value:.2f}" for value in growth)])
    return found


if __name__ == "__main__":
    main()
