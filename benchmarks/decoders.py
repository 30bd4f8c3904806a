"""How many tokens does each decoding method get out of a target call, and how much faster is it than greedy?

    python benchmarks/decoders.py --per-category 1 --tokens 64
    python benchmarks/decoders.py --decoders greedy token_recycling:tree=chain,nodes=3 prompt_lookup --quick

Spec-Bench questions (first turns), SmolLM2 in float32, temperature 0. Every prompt is decoded by every method in
turn, the order rotated from prompt to prompt, so that a busy moment of the machine falls on all alike. True token ids
are counted on both sides. Prefill is apart: speed-ups are of the time after it. Speed-up is a ratio of totals with a
paired bootstrap over prompts; MAT is tokens emitted per target call after the prefill.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from harness import sources
from harness.api import registry
from harness.api.errors import DataError
from harness.api.protocols import Preparing, Setting
from harness.api.types import Generate, Prompt
from harness.timing import clock

METHODS = [
    "greedy",
    "prompt_lookup",
    "prompt_lookup:match=latest",
    "lookahead",
    "token_recycling:start=cold",
    "token_recycling",
    "token_recycling:start=hot",
    "token_recycling:tree=chain,nodes=6",
    "token_recycling:tree=best,nodes=4",
    "aded:adapt=false",
    "aded",
    "speculative:draft=ngram",
    "speculative:draft=self:10",
]
CATEGORIES = ("mt_bench", "translation", "summarization", "qa", "math_reasoning", "rag")
LONGEST = 700  # prompt tokens; longer ones keep their end


class Phases:
    """A meter that keeps each phase's seconds and its counters."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.counts: dict[str, int] = defaultdict(int)
        self.start = clock()

    @contextmanager
    def span(self, name: str, tokens: int = 0) -> Any:
        begun = clock()
        yield
        self.seconds[name] += clock() - begun

    def emitted(self, request: int, tokens: int) -> None:
        pass

    def count(self, name: str, amount: int = 1) -> None:
        self.counts[name] += amount

    def elapsed(self) -> float:
        return clock() - self.start


def questions(model: Any, per_category: int, tokens: int, setting: Setting) -> list[tuple[str, Prompt]]:
    found = []
    for category in CATEGORIES:
        task = registry.create("task", f"decoding/spec_bench:category={category}")
        for example in islice(task.examples("test", 0, setting.sources), per_category):
            request = example.requests[0]
            assert isinstance(request, Generate)
            found.append((category, Prompt(tuple(model.prompt(request)[-LONGEST:]), tokens)))
    return found


def ratio(slow: np.ndarray[Any, Any], fast: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    rows = np.random.default_rng(0).integers(0, len(slow), (2_000, len(slow)))
    draws = slow[rows].sum(1) / fast[rows].sum(1)
    return float(slow.sum() / fast.sum()), *(float(value) for value in np.quantile(draws, (0.025, 0.975)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lms/smollm2")
    parser.add_argument("--decoders", nargs="+", default=METHODS)
    parser.add_argument("--per-category", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    setting = Setting(sources.from_environment(print), dtype="float32")
    model = registry.create("model", options.model).load(setting)
    try:
        asked = questions(model, options.per_category, options.tokens, setting)
    except DataError as problem:
        raise SystemExit(f"the questions are not here: {problem}") from None
    methods = ["greedy", *(spec for spec in options.decoders if spec != "greedy")]
    made = {}
    for spec in methods:
        decoder = registry.create("decoder", spec)
        made[spec] = decoder.prepare(setting, model) if isinstance(decoder, Preparing) else decoder
    greedy = made["greedy"].decode(model.lm, [asked[0][1]], seeds=[0], meter=Phases())
    assert greedy
    results: dict[str, list[dict[str, Any]]] = {spec: [] for spec in methods}
    for number, (category, prompt) in enumerate(asked):
        turned = methods[number % len(methods) :] + methods[: number % len(methods)]
        for spec in turned:
            meter = Phases()
            (item,) = made[spec].decode(model.lm, [prompt], seeds=[0], meter=meter)
            seconds = meter.elapsed()
            results[spec].append(
                {
                    "category": category,
                    "tokens": item.tokens,
                    "calls": max(1, item.calls - (spec == "greedy")),
                    "emitted": len(item.tokens) + (item.finished == "eos") - (spec == "greedy"),
                    "verified": item.drafted,
                    "seconds": seconds - meter.seconds["prefill"],
                    "draft": meter.seconds["draft"],
                    "draft_calls": meter.counts["draft_calls"],
                }
            )
    report(results, options.json)


def report(results: dict[str, list[dict[str, Any]]], to: Path | None) -> None:
    base = results["greedy"]
    slow = np.array([row["seconds"] for row in base])
    table, rows = [], []
    for spec, found in results.items():
        same = sum(row["tokens"] == other["tokens"] for row, other in zip(found, base, strict=True))
        fast = np.array([row["seconds"] for row in found])
        gain, low, high = ratio(slow, fast)
        calls = sum(row["calls"] for row in found)
        emitted = sum(row["emitted"] for row in found)
        per_category = {
            name: sum(row["emitted"] for row in found if row["category"] == name)
            / max(1, sum(row["calls"] for row in found if row["category"] == name))
            for name in CATEGORIES
        }
        nodes = sum(row["verified"] for row in found) / calls
        draft = 1000 * sum(row["draft"] for row in found) / calls
        rows.append(
            {"decoder": spec, "mat": emitted / calls, "categories": per_category, "verified": nodes, "exact": same,
             "prompts": len(found), "speedup": gain, "low": low, "high": high, "draft_ms": draft}
        )  # fmt: skip
        table.append(
            [spec, emitted / calls, *per_category.values(), nodes, draft, f"{same}/{len(found)}",
             f"{gain:.2f} [{low:.2f}, {high:.2f}]", emitted / fast.sum()]
        )  # fmt: skip
    heads = ["decoder", "MAT", *CATEGORIES, "nodes/call", "draft ms/call", "= greedy", "speed-up", "tokens/s"]
    print(tabulate(table, heads, floatfmt=".2f"))
    if to:
        to.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
