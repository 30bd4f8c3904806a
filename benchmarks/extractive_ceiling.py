"""How much of each summarization task could sentences of its sources reach? The greedy oracle, scored like a model.

    python benchmarks/extractive_ceiling.py --task summarization/dialogsum --most 3

The oracle sees the references, so it is a ceiling for extractive models and never a row of a leaderboard.
"""

from __future__ import annotations

import argparse
from itertools import islice

import numpy as np

from harness.api import registry
from harness.api.types import Generated
from harness.sources import from_environment
from harness.tasks.summarization._extractive import greedy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="summarization/dialogsum,summarization/scitldr,summarization/samsum")
    parser.add_argument("--split", default="test")
    parser.add_argument("--most", type=int, default=3, help="sentences at most")
    parser.add_argument("--limit", type=int, default=None)
    options = parser.parse_args()
    sources = from_environment()
    print("| task | split | examples | sentences | ROUGE-1 | ROUGE-2 | ROUGE-L | ROUGE-Lsum |")
    print("|---|---|---|---|---|---|---|---|")
    for spec in registry.split_specs(options.task):
        task = registry.create("task", spec)
        metrics = [registry.create("metric", item) for item in task.metrics if item.startswith("rouge")]
        rows = []
        for example in islice(task.examples(options.split, 0, sources), options.limit):
            references = example.target if isinstance(example.target, list) else [example.target]
            chosen = greedy(example.requests[0].source, references, options.most)
            answer = Generated(text="\n".join(chosen))
            rows.append([metric.value(example, (answer,)) for metric in metrics])
        values = " | ".join(f"{value:.2f}" for value in np.mean(rows, axis=0))
        print(f"| {spec} | {options.split} | {len(rows)} | {options.most} | {values} |")


if __name__ == "__main__":
    main()
