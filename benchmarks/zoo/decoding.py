"""Is a token of the xLSTM-7B block shape as cheap after 64k tokens as after 1k? Against a transformer with a cache.

    python benchmarks/zoo/decoding.py [--rounds 7] [--width 512] [--depth 4] [--tokens 16]

The blocks of the 7B design (pre-norm, soft caps, queries and keys half as wide, 8 heads) at a reduced width, random
weights, batch 1; the transformer has the same width, depth, heads and MLP. The xLSTM reads its context; the
transformer's cache is filled with random numbers, since only its size matters to the time.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from _timed import ranged, ratio, seconds
from streaming import held_bytes
from tabulate import tabulate

from harness.api import registry
from harness.models.sequence._learner import Facts

CONTEXTS = (1024, 4096, 16_384, 65_536)
SYMBOLS = 256


def states_after(name: str, network: Any, length: int) -> Any:
    """The states after `length` tokens."""
    if name == "transformer":
        states = network.start(1, torch.device("cpu"), torch.float32)
        for state in states:
            _, heads, _, size = state["keys"].shape
            state["keys"], state["values"] = (torch.randn(1, heads, length, size) for _ in range(2))
        return states
    states = None
    for piece in torch.randint(SYMBOLS, (1, length)).split(1024, 1):
        _, states = network(piece, states=states)
    return states


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=16, help="decoded in a round")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    size = f"width={asked.width},depth={asked.depth},heads=8"
    facts = Facts("label", SYMBOLS, SYMBOLS, per_position=True, longest=CONTEXTS[-1])
    rows = []
    for name, spec in (("xlstm", f"sequence/xlstm:design=7b,{size}"), ("transformer", f"sequence/transformer:{size}")):
        torch.manual_seed(0)
        network = registry.create("model", spec).network(facts).eval()
        taken = []
        for context in CONTEXTS:
            with torch.inference_mode():
                held = states_after(name, network, context)

                def decode(network: Any = network, held: Any = held) -> None:
                    states, token = held, torch.zeros(1, dtype=torch.long)
                    for _ in range(asked.tokens):
                        output, states = network.step(token, states)
                        token = output.argmax(-1)

                decode()
                taken.append(np.array([seconds(decode) for _ in range(asked.rounds)]) / asked.tokens)
            growth = ranged(*ratio(taken[-1], taken[0]))
            rows.append([name, context, f"{1e3 * np.median(taken[-1]):.2f}", growth, f"{held_bytes(held):,}"])
            print(f"{name} after {context}: {rows[-1][2]} ms a token, {growth} of that after {CONTEXTS[0]}", flush=True)
    heads = ["model", "context", "ms a token", f"over {CONTEXTS[0]} tokens [95%]", "state bytes"]
    print(tabulate(rows, heads, disable_numparse=True))


if __name__ == "__main__":
    main()
