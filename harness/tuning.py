"""Which draft size pays on this machine? Tokens per call from real prompts, over the measured cost of the call."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from harness.api import registry
from harness.api.protocols import SilentMeter
from harness.api.types import Generate, Prompt, Want
from harness.timing import clock

SIZES = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 80)  # drafted nodes
REPEATS = 5  # timings of a call; the median counts
CONTEXT = 128  # tokens cached before the timed call
LONGEST = 512  # prompt tokens; longer prompts keep their end

# how a decoder is told its size
SPECS = {
    "decoders/token_recycling": "decoders/token_recycling:tree=best,nodes={}",
    "decoders/prompt_lookup": "decoders/prompt_lookup:draft={}",
}


def tune(model: Any, requests: Sequence[Generate], names: Sequence[str], tokens: int) -> dict[str, Any]:
    """Costs of calls, and for each decoder the trials of its sizes and the spec that wins (none beats greedy: size 1).

    A trial's expected speed-up is tokens emitted over the cost of its calls, in units of a call of one token.
    """
    costs = call_costs(model.lm, [1, *(size + 1 for size in SIZES)])
    prompts = [Prompt(tuple(model.prompt(item)[-LONGEST:]), tokens) for item in requests]
    choices = [_choose(model, prompts, name, dict(costs)) for name in names]
    return {"costs": costs, "choices": choices}


def call_costs(lm: Any, sizes: Sequence[int]) -> list[tuple[int, float]]:
    """Median seconds of a call with n new tokens after a short context; sizes are interleaved, so noise hits all."""
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    state = lm.start(1, CONTEXT + max(sizes))
    state = lm.step(state, [[index % 7 for index in range(CONTEXT)]], Want("none")).state
    for repeat in range(REPEATS + 1):
        for size in sizes:
            begun = clock()
            # several positions are verified at once, a single one is not
            step = lm.step(state, [[1] * size], Want("all"))
            float(step.logits[0, -1, 0])
            if repeat:
                seconds[size].append(clock() - begun)
            state = lm.rewind(step.state, [CONTEXT])
    return [(size, statistics.median(values)) for size, values in seconds.items()]


def _choose(model: Any, prompts: Sequence[Prompt], name: str, costs: dict[int, float]) -> dict[str, Any]:
    trials = []
    for size in SIZES:
        decoder = registry.create("decoder", SPECS[name].format(size))
        found = decoder.decode(model.lm, prompts, seeds=[0] * len(prompts), meter=SilentMeter())
        emitted = sum(len(item.tokens) + (item.finished == "eos") for item in found)
        calls = sum(item.calls for item in found)
        drafted = sum(item.drafted for item in found)
        # calls draft fewer nodes than they may, so a call's cost is read at the mean number, between measured sizes
        seconds = calls * _between(costs, 1 + drafted / max(1, calls))
        trials.append((size, emitted / max(1, calls), emitted * costs[1] / seconds if seconds else 1.0))
    best = max(trials, key=lambda trial: trial[2])
    return {"decoder": name, "trials": trials, "spec": SPECS[name].format(best[0]), "speedup": best[2]}


def _between(costs: dict[int, float], size: float) -> float:
    known = sorted(costs)
    below = max(value for value in known if value <= size)
    above = min((value for value in known if value >= size), default=below)
    if above == below:
        return costs[below]
    share = (size - below) / (above - below)
    return costs[below] * (1 - share) + costs[above] * share
