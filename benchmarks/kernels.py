"""How fast are the kernels, against what others would write? Both sides in turn in one run, as a ratio with interval.

python benchmarks/kernels.py [--only OP[,OP]] [--rounds N] [--json FILE]

Rows live in kernel_rows/<op>.py under ROWS. The ratio is the median of theirs over the median of ours; its 95% interval
comes from a bootstrap over rounds, so that a slow moment of the machine hits both sides. The same comparisons as
records for the leaderboards, each side a contestant: benchmarks/kernel_records.py.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from kernel_rows._row import Row

from harness.environment import describe
from harness.timing import clock, date

FOLDER = Path(__file__).parent / "kernel_rows"
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Timed:
    op: str
    row: str
    ours: float  # median, milliseconds
    theirs: float
    ratio: float
    low: float
    high: float
    spread: float  # interquartile range of ours over its median
    rounds: int
    wanted: str
    reached: bool | None
    skipped: str = ""


def reason_to_skip(row: Row) -> str:
    if row.device == "cuda" and not torch.cuda.is_available():
        return "no CUDA device"
    if row.needs and importlib.util.find_spec(row.needs) is None:
        return f"{row.needs} is not installed (extra [peers])"
    return ""


def seconds(work: object, device: str) -> float:
    start = clock()
    work()  # type: ignore[operator]
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def wanted(row: Row) -> str:
    return f">= {row.at_least:g}" if row.at_least is not None else f"<= {row.at_most:g}" if row.at_most else ""


def timed(op: str, row: Row, rounds: int) -> Timed:
    skipped = reason_to_skip(row)
    if skipped:
        return Timed(op, row.name, *[float("nan")] * 6, 0, wanted(row), None, skipped)
    sides = row.prepare()
    for _ in range(2):
        for side in sides:
            seconds(side, row.device)
    times = np.array([[seconds(side, row.device) for side in sides] for _ in range(rounds)]) * 1e3
    draws = np.random.default_rng(0).integers(rounds, size=(DRAWS, rounds))
    medians = np.median(times[draws], axis=1)
    low, high = np.quantile(medians[:, 1] / medians[:, 0], [0.025, 0.975])
    ours, theirs = np.median(times, axis=0)
    quartiles = np.quantile(times[:, 0], [0.25, 0.75])
    ratio = theirs / ours
    reached = ratio >= row.at_least if row.at_least is not None else ratio <= row.at_most if row.at_most else None
    return Timed(
        op, row.name, float(ours), float(theirs), float(ratio), float(low), float(high),
        float((quartiles[1] - quartiles[0]) / ours), rounds, wanted(row), None if reached is None else bool(reached),
    )  # fmt: skip


def line(found: Timed) -> str:
    if found.skipped:
        return f"{found.op:15} {found.row:58} skipped: {found.skipped} (wanted {found.wanted or 'a figure'})"
    verdict = {True: "reached", False: "MISSED", None: ""}[found.reached]
    return (
        f"{found.op:15} {found.row:58} {found.ours:9.2f} {found.theirs:9.2f} {found.ratio:7.2f} "
        f"[{found.low:.2f}, {found.high:.2f}] {found.wanted:8} {verdict}"
    )


def main() -> None:
    known = sorted(file.stem for file in FOLDER.glob("*.py") if not file.stem.startswith("_"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(known), help="operations, comma-separated")
    parser.add_argument("--rounds", type=int, default=0, help="timed calls of each side (default: the row's own)")
    parser.add_argument("--json", type=Path, help="also write every row, with the machine, to this file")
    arguments = parser.parse_args()
    print(f"{'op':15} {'row':58} {'ours ms':>9} {'theirs ms':>9} {'ratio':>7} 95% interval  wanted")
    rows = []
    for op in arguments.only.split(","):
        if op not in known:
            parser.error(f"no rows for {op!r}; there are rows for {', '.join(known)}")
        for row in importlib.import_module(f"kernel_rows.{op}").ROWS:
            rows.append(timed(op, row, arguments.rounds or row.rounds))
            print(line(rows[-1]), flush=True)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    if arguments.json:
        record = {"date": date(), "environment": describe(), "threads": torch.get_num_threads(), "rows": rows}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record, default=asdict, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
