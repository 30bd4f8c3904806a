"""How does the time of one layer grow with the length? Exponents from 512 to 8192 tokens, forward, one thread.

    python benchmarks/zoo/cost_exponents.py [--rounds 5] [--width 64] [--batch 2]

Full attention should show 2 +- 0.25; windowed, low-rank, kernel and state-space layers 1 +- 0.25; ProbSparse between,
and slower than full attention (torch's own, fused) below about 1,000 tokens. Weights are random: time asks no training.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _timed import exponent, ranged, ratio, timed
from tabulate import tabulate

from harness.api import registry
from harness.models.sequence._mixer import Site

SHORT = (128, 256)  # where ProbSparse should lose
LENGTHS = (512, 1024, 2048, 4096, 8192)


@dataclass(frozen=True, slots=True)
class Row:
    kind: str
    spec: str
    low: float  # bounds of the exponent
    high: float


ROWS = (
    Row("full", "sequence/transformer:causal=False", 1.75, 2.25),
    Row("full, causal", "sequence/transformer", 1.75, 2.25),
    Row("window", "sequence/longformer:window=128", 0.75, 1.25),
    Row("chunks", "sequence/local", 0.75, 1.25),
    Row("dense mask", "sequence/bigbird", 1.75, 2.25),
    Row("low rank", "sequence/linformer", 0.75, 1.25),
    Row("hashes", "sequence/reformer", 0.75, 1.25),
    Row("kernel", "sequence/performer", 0.75, 1.25),
    Row("kernel", "sequence/linear_attention", 0.75, 1.25),
    Row("state space", "sequence/s4d", 0.75, 1.25),
    Row("state space", "sequence/mamba", 0.75, 1.25),
    Row("state space", "sequence/mamba2", 0.75, 1.25),
    Row("matrix memory", "sequence/mlstm", 0.75, 1.25),
    Row("scan", "sequence/aaren", 0.75, 1.25),
    Row("ProbSparse", "sequence/informer_encoder", 1.0, 2.0),
)


def works(spec: str, width: int, batch: int, lengths: Sequence[int] = LENGTHS) -> dict[str, Callable[[], Any]]:
    """One forward pass at every length; a mixer whose maps need the length is made for each."""
    found: dict[str, Callable[[], Any]] = {}
    entry = registry.create("model", spec)
    for length in lengths:
        torch.manual_seed(0)
        mixer = entry.mixer(Site(width, length=length)).eval()
        x = torch.randn(batch, length, width)
        found[f"{spec}|{length}"] = lambda mixer=mixer, x=x: mixer(x)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rows = []
    with torch.inference_mode():
        for row in ROWS:
            taken = timed(works(row.spec, asked.width, asked.batch), asked.rounds)
            seconds_RL = np.stack(list(taken.values()), 1)
            value, interval = exponent(LENGTHS, seconds_RL)
            verdict = "as claimed" if row.low <= value <= row.high else "NOT AS CLAIMED"
            milliseconds = [f"{1e3 * median:.1f}" for median in np.median(seconds_RL, 0)]
            name = row.spec.removeprefix("sequence/")
            rows.append([row.kind, name, *milliseconds, ranged(value, interval), f"{row.low:g}..{row.high:g}", verdict])
            print(f"{name}: exponent {ranged(value, interval)}", flush=True)
    heads = ["kind", "layer", *(f"{length} ms" for length in LENGTHS), "exponent [95%]", "wanted", ""]
    print(tabulate(rows, heads, disable_numparse=True))
    probing, full = "sequence/informer_encoder", "sequence/transformer:causal=False"
    lengths = (*SHORT, *LENGTHS)
    with torch.inference_mode():
        both = works(probing, asked.width, asked.batch, lengths) | works(full, asked.width, asked.batch, lengths)
        taken = timed(both, asked.rounds)
    for length in lengths:
        against = ratio(taken[f"{probing}|{length}"], taken[f"{full}|{length}"])
        print(f"ProbSparse over full attention at {length}: {ranged(*against)} of its time")


if __name__ == "__main__":
    main()
