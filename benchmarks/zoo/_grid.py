"""How is a claim about trained models measured? As one `harness run`, resumable, and a table of what came out.

Every seed trains and tests anew. The 95% interval resamples the test examples of all seeds; the seeds also stand one
by one, since a few of them say little about their own spread.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from harness import planning, runner, sources, stats
from harness.api import registry
from harness.api.types import Budget
from harness.progress import Display
from harness.results import RunResult
from harness.session import Session


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model and where its accuracy should come out; neither bound: it is only reported."""

    model: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def text(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "" if self.at_most is None else f"<= {self.at_most:g}"

    def verdict(self, value: float) -> str:
        if self.at_least is None and self.at_most is None:
            return ""
        high_enough = self.at_least is None or value >= self.at_least
        return "as claimed" if high_enough and (self.at_most is None or value <= self.at_most) else "NOT AS CLAIMED"


def parser(description: str | None, *, steps: int, seeds: int, out: str, limit: int | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--steps", type=int, default=steps, help=f"training steps of each fit ({steps})")
    made.add_argument("--seeds", type=int, default=seeds, help=f"fits of each model ({seeds})")
    made.add_argument("--limit", type=int, default=limit, help="test examples of each fit")
    made.add_argument("--out", type=Path, default=Path(out), help=f"runs are kept here, and reused ({out})")
    made.add_argument("--models", default="", help="only these of the models, by name")
    return made


def chosen(wanted: Sequence[Wanted], names: str) -> list[Wanted]:
    """Those whose name, without folder and parameters, is among the names; all of them without names."""
    asked = set(filter(None, names.split(",")))
    return [item for item in wanted if not asked or item.model.partition(":")[0].rpartition("/")[2] in asked]


def results(task: str, models: Sequence[str], asked: argparse.Namespace) -> dict[str, list[RunResult]]:
    """One result a seed of every model, computed or reused."""
    seeds, budget = range(asked.seeds), Budget(steps=asked.steps)
    plan = planning.plan([task], models, limit=asked.limit, seeds=seeds, budget=budget)
    found: dict[str, list[RunResult]] = {model: [] for model in models}
    with Display(len(plan.cells)) as display:
        session = Session(
            sources.from_environment(display.announce), asked.out, announce=display.announce, progress=display
        )
        for outcome in runner.run_all(plan.cells, session):
            if outcome.finished is None:
                print(f"failed: {outcome.cell.title}, seed {outcome.cell.seed}: {outcome.error}", flush=True)
            else:
                found[outcome.cell.model].append(outcome.finished.result)
    return found


def pooled(runs: Sequence[RunResult]) -> tuple[float, tuple[float, float]]:
    """Accuracy over the examples of all seeds, and its 95% interval."""
    metric = registry.create("metric", "accuracy")
    rows = np.concatenate([run.samples.statistics["accuracy"] for run in runs if run.samples is not None])
    return metric.reduce(rows), stats.interval(metric, rows)


def table(wanted: Sequence[Wanted], found: Mapping[str, Sequence[RunResult]]) -> str:
    rows = []
    for item in wanted:
        runs = found[item.model]
        if not runs:
            rows.append([item.model, "", "failed", "", "", item.text, ""])
            continue
        value, (low, high) = pooled(runs)
        seeds = " ".join(f"{run.metrics['accuracy'].value:.3f}" for run in runs)
        seconds = sum(run.timings["fit_seconds"] for run in runs) / len(runs)
        rows.append(
            [
                item.model.removeprefix("sequence/"),
                runs[0].identity["parameters"],
                f"{value:.4f} [{low:.4f}, {high:.4f}]",
                seeds,
                f"{seconds:.0f}",
                item.text,
                item.verdict(value),
            ]
        )
    return tabulate(rows, ["model", "parameters", "accuracy", "by seed", "fit s", "wanted", ""], disable_numparse=True)
