"""What does reading a stream cost, token by token? Cumulative time and state from 1k to 8k tokens.

    python benchmarks/zoo/streaming.py [--rounds 3] [--width 256] [--longest 8192]

Two layers with random weights, one token at a time through the models' own steps. Models with a constant state should
take time in proportion to the tokens read (slope 1); a transformer that keeps keys and values tends to slope 2, and
its state grows. The slope over the last doubling is shown too: at small lengths every step is mostly fixed cost.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from _timed import exponent, ranged
from tabulate import tabulate

from harness.api import registry
from harness.models.sequence._learner import Facts
from harness.timing import clock

MODELS = ("transformer", "aaren", "gru", "lstm", "slstm", "s4d", "lru", "mamba", "mamba2", "mlstm", "linear_attention")
SYMBOLS = 16


def stream(network: Any, tokens: torch.Tensor, marks: tuple[int, ...]) -> tuple[list[float], list[int]]:
    """Seconds since the start, and bytes of the state, after each of `marks` tokens."""
    states = network.start(1, tokens.device, torch.float32)
    seconds, sizes, start = [], [], clock()
    for place, token in enumerate(tokens, start=1):
        _, states = network.step(token[None], states)
        if place in marks:
            seconds.append(clock() - start)
            sizes.append(held_bytes(states))
    return seconds, sizes


def held_bytes(states: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for state in states for tensor in state.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--longest", type=int, default=8192)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    marks = tuple(asked.longest // 2**power for power in (3, 2, 1, 0))
    facts = Facts("label", SYMBOLS, SYMBOLS, per_position=True, longest=asked.longest)
    rows = []
    for name in asked.models.split(","):
        torch.manual_seed(0)
        network = registry.create("model", f"sequence/{name}:width={asked.width}").network(facts).eval()
        tokens = torch.randint(SYMBOLS, (asked.longest,))
        with torch.inference_mode():
            stream(network, tokens[:64], (64,))
            taken, sizes = zip(*(stream(network, tokens, marks) for _ in range(asked.rounds)), strict=True)
        seconds_RL = np.array(taken)
        if list(sizes[0]) != [network.state_bytes(mark) for mark in marks]:
            print(f"{name}: the state holds {sizes[0]} bytes, but state_bytes says otherwise", flush=True)
        slope, last = exponent(marks, seconds_RL), exponent(marks[-2:], seconds_RL[:, -2:])
        medians = [f"{median:.2f}" for median in np.median(seconds_RL, 0)]
        rows.append([name, *medians, ranged(*slope), ranged(*last), f"{sizes[0][0]:,}", f"{sizes[0][-1]:,}"])
        print(f"{name}: slope {ranged(*slope)}, over the last doubling {ranged(*last)}", flush=True)
    heads = ["model", *(f"{mark} s" for mark in marks), "slope [95%]", "last doubling", f"bytes {marks[0]}"]
    print(tabulate(rows, [*heads, f"bytes {marks[-1]}"], disable_numparse=True))


if __name__ == "__main__":
    main()
