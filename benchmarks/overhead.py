"""What does the harness itself cost? Wall time of a run less the time inside model calls, as a share of the wall.

    python benchmarks/overhead.py --task recall/noun_list --model lms/smollm2 --limit 200
    python benchmarks/overhead.py --empty 20000     # a model that does nothing: microseconds an example

The first prints one row a run (fresh, in a temporary folder); loading and the warm-up call count as neither.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.api import registry
from harness.api.metrics import MeanMetric
from harness.api.protocols import Meter, Setting
from harness.api.types import Example, Request, Response, Score, Scored
from harness.pairing import Pairing
from harness.planning import Cell, plan
from harness.runner import run, run_pairing
from harness.session import Session
from harness.sources import DataSources, data_root


@dataclass(frozen=True)
class Nats(MeanMetric):
    @property
    def name(self) -> str:
        return "nats"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        return sum(answer.total for answer in responses if isinstance(answer, Scored))


@dataclass(frozen=True)
class EmptyTask:
    size: int
    door: str = "score"
    metrics: tuple[Any, ...] = (Nats(),)

    def examples(self, split: str, seed: int, sources: Any) -> Iterator[Example]:
        for index in range(self.size):
            yield Example(f"{index}", (Score("context", "word " * (1 + index % 7)),), tags={"week": str(index % 7)})

    def data_digest(self, split: str, sources: Any) -> str:
        return f"generated:{self.size}"


@dataclass(frozen=True)
class EmptyModel:
    identity: Mapping[str, Any]

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        return {"weights": "none"}

    def load(self, setting: Setting) -> EmptyModel:
        return self

    def size(self, request: Request) -> int:
        return 64

    def score(self, requests: Sequence[Score], *, meter: Meter) -> list[Response]:
        return [Scored((-1.0, -2.0), ((0, 2), (2, 5))) for _ in requests]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="recall/noun_list")
    parser.add_argument("--model", default="lms/smollm2")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--empty", type=int, default=0, help="examples before a model that does nothing")
    options = parser.parse_args()
    print(f"{'examples':>9} {'wall s':>9} {'model s':>9} {'overhead s':>11} {'share':>7} {'us/example':>11}")
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            session = Session(sources=DataSources(data_root(), online=False), out=Path(folder), fresh=True)
            if options.empty:
                show(run_pairing(empty(options.empty), session).result.timings, options.empty)
                continue
            tasks, models = registry.select("task", options.task), registry.select("model", options.model)
            for cell in plan(tasks, models, limit=options.limit).cells:
                result = run(cell, session).result
                show(result.timings, result.examples)


def empty(size: int) -> Pairing:
    task, model = EmptyTask(size), EmptyModel({"backend": "none"})
    cell = Cell("empty/task", "empty/model")
    return Pairing(cell, task, model, None, cell.task, cell.model, None, task.metrics)


def show(timings: Mapping[str, Any], examples: int) -> None:
    apart = timings["load_seconds"] + timings["fit_seconds"] + timings["warm_up_seconds"]
    wall, model, overhead = timings["wall_seconds"] - apart, timings["model_seconds"], timings["overhead_seconds"]
    each = 1e6 * overhead / examples
    print(f"{examples:>9} {wall:>9.3f} {model:>9.3f} {overhead:>11.3f} {overhead / wall:>7.2%} {each:>11.1f}")


if __name__ == "__main__":
    main()
