"""At equal verified nodes, which draft shape gets most tokens accepted? A chain, independent chains, or RSD-S trees.

    python benchmarks/draft_trees.py --prompts 24 --tokens 48

Target and draft are byte-level Transformers trained here on the same text (first use takes minutes, later ones load);
sampling at temperature 1. Tokens per target call, with a paired bootstrap over prompts of RSD-S against the others.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from harness import sources
from harness.api import registry
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Prompt

TARGET = "lms/scratch:width=96,depth=3,context=192,steps=1200"
DRAFT = "lms/scratch:width=32,depth=1,context=192,steps=1200"
# verified nodes -> (beam width, depth); the chain has as many tokens as the budget
SHAPES = {6: (2, 3), 10: (2, 5), 14: (2, 7), 21: (3, 7), 30: (5, 6)}
PROMPT = 48  # bytes


def per_call(decoder: Any, lm: Any, prompts: list[Prompt]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    found = decoder.decode(lm, prompts, seeds=list(range(len(prompts))), meter=SilentMeter())
    return np.array([sum(item.accepted) for item in found]), np.array([item.calls for item in found])


def gain(ours: Any, theirs: Any) -> tuple[float, float, float]:
    """Difference of tokens per call, with a 95% interval from resampled prompts."""
    size = len(ours[0])
    rows = np.random.default_rng(0).integers(0, size, (4_000, size))
    draws = ours[0][rows].sum(1) / ours[1][rows].sum(1) - theirs[0][rows].sum(1) / theirs[1][rows].sum(1)
    whole = ours[0].sum() / ours[1].sum() - theirs[0].sum() / theirs[1].sum()
    return float(whole), *(float(value) for value in np.quantile(draws, (0.025, 0.975)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--target", default=TARGET)
    parser.add_argument("--draft", default=DRAFT)
    parser.add_argument("--nodes", type=int, nargs="+", choices=SHAPES, default=list(SHAPES), metavar="N")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    setting = Setting(sources.from_environment(print))
    model = registry.create("model", options.target).load(setting)
    text = json.dumps(registry.card("model", "lms/scratch").docstring) + Path(__file__).read_text(encoding="utf-8")
    starts = np.linspace(0, len(text) - PROMPT - 1, options.prompts).astype(int)
    prompts = [Prompt(tuple(model.tokenizer.encode(text[at : at + PROMPT])[0]), options.tokens) for at in starts]
    table, kept = [], []
    for nodes in options.nodes:
        width, depth = SHAPES[nodes]
        specs = {
            "chain": f"speculative:draft=({options.draft}),length={nodes},temperature=1",
            "independent": f"recursive_speculative:draft=({options.draft}),tree=independent,"
            f"widths={'+'.join([str(width)] * depth)},temperature=1",
            "RSD-S": f"recursive_speculative:draft=({options.draft}),tree=beam,"
            f"widths={'+'.join([str(width)] * depth)},temperature=1",
        }
        seen = {
            name: per_call(registry.create("decoder", spec).prepare(setting, model), model.lm, prompts)
            for name, spec in specs.items()
        }
        against = {name: gain(seen["RSD-S"], seen[name]) for name in ("chain", "independent")}
        means = {name: float(tokens.sum() / calls.sum()) for name, (tokens, calls) in seen.items()}
        table.append([nodes, f"{width} x {depth}", *means.values(), *(_interval(item) for item in against.values())])
        kept.append({"nodes": nodes, "tokens_per_call": means, "gain": against})
        told = [f"{name} {value:.3f}" for name, value in means.items()]
        told += [f"RSD-S - {name} {_interval(item)}" for name, item in against.items()]
        print(f"{nodes} nodes: {', '.join(told)}", flush=True)
    heads = ["nodes", "tree", "chain", "independent", "RSD-S", "RSD-S - chain", "RSD-S - independent"]
    print(tabulate(table, heads, floatfmt=".3f"))
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def _interval(item: tuple[float, float, float]) -> str:
    return f"{item[0]:+.3f} [{item[1]:+.3f}, {item[2]:+.3f}]"


if __name__ == "__main__":
    main()
