"""Compare the keyboard correctors on one source, all trained on the same sentences.

Run: python benchmarks/keyboard_correctors.py [--source tatoeba] [--train 20000] [--test 1000] [--seconds 600]

Prints the four metrics of each corrector, training and test seconds. The network gets `seconds` of training.
"""

from __future__ import annotations

import argparse
from itertools import islice

import numpy as np

from harness.api import registry
from harness.api.protocols import Setting
from harness.api.types import Budget
from harness.sources import DataSources, data_root
from harness.timing import RunMeter, clock

MODELS = ("keyboard/identity", "keyboard/norvig", "keyboard/noisy_channel", "keyboard/char_cnn_gru")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="tatoeba")
    parser.add_argument("--train", type=int, default=20_000, help="training sentences")
    parser.add_argument("--test", type=int, default=1_000, help="test sentences")
    parser.add_argument("--seconds", type=float, default=600.0, help="training time of the network")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    sources = DataSources(data_root(), online=False)
    task = registry.create("task", f"keyboard/correction:source={asked.source}")
    limits = {"train": asked.train, "validation": 512, "test": asked.test}
    parts = {split: list(islice(task.examples(split, asked.seed, sources), limit)) for split, limit in limits.items()}
    metrics = [registry.create("metric", name) for name in task.metrics]
    print(f"{asked.source}: " + ", ".join(f"{split} {len(items)}" for split, items in parts.items()))
    print(f"{'model':24}" + "".join(f"{metric.name:>19}" for metric in metrics) + f"{'fit s':>9}{'test s':>9}")
    for name in MODELS:
        model, setting, meter = registry.create("model", name), Setting(sources), RunMeter()
        if registry.card("model", name).facts.get("learns"):
            budget = Budget(seconds=asked.seconds)
            loaded = model.fit(
                lambda: iter(parts["train"]),
                lambda: iter(parts["validation"]),
                seed=asked.seed,
                budget=budget,
                setting=setting,
                meter=meter,
            )
        else:
            loaded = model.load(setting)
        spent, start = meter.elapsed(), clock()
        requests = [example.requests[0] for example in parts["test"]]
        answers = loaded.generate(requests, decoder=None, seeds=[0] * len(requests), meter=RunMeter(len(requests)))
        taken = clock() - start
        values = [
            metric.reduce(
                np.stack([metric.measure(item, (text,)) for item, text in zip(parts["test"], answers, strict=True)])
            )
            for metric in metrics
        ]
        print(f"{name:24}" + "".join(f"{value:19.4f}" for value in values) + f"{spent:9.1f}{taken:9.1f}", flush=True)


if __name__ == "__main__":
    main()
