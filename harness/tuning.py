"""Which draft size pays on this machine? Tokens per call from real prompts, over the measured cost of the call.

Acceptance is a fact of model and text, cost(n) of the machine: trials give the first, timed calls of n tokens the
second, so that a busy moment during a trial does not choose the size.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.api import registry
from harness.api.protocols import Preparing, Setting
from harness.api.types import Decoded, Generate, Prompt, Want
from harness.timing import RunMeter, clock

SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 80)  # drafted nodes
REPEATS = 9  # timings of a call; the fastest third's median counts
CONTEXT = 128  # tokens cached before the timed call
LONGEST = 512  # prompt tokens; longer prompts keep their end
WORSE = 0.8  # sizes are tried until two in a row expect less than this share of the best speed-up

# the parameter that holds a decoder's size, and what else it takes to have one
SIZED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "decoders/token_recycling": ("nodes", {"tree": "best"}),
    "decoders/prompt_lookup": ("draft", {}),
    "decoders/speculative": ("length", {}),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What one size gave."""

    size: int  # most drafted nodes a call
    tokens_per_call: float
    nodes_per_call: float
    draft_seconds: float  # a call
    speedup: float  # expected, over one token a call


@dataclass(frozen=True, slots=True)
class Choice:
    """The size that pays best; `speedup` below 1 says that none beats greedy decoding."""

    decoder: str
    spec: str
    speedup: float
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class Tuned:
    """Costs of calls, (tokens, seconds) each, and a choice a decoder."""

    costs: tuple[tuple[int, float], ...]
    choices: tuple[Choice, ...]


def tune(model: Any, requests: Sequence[Generate], specs: Sequence[str], tokens: int, setting: Setting) -> Tuned:
    """Measure cost(n), then for each decoder the sizes until they stop paying."""
    costs = call_costs(model.lm, [1, *(size + 1 for size in SIZES)])
    prompts = [Prompt(tuple(model.prompt(item)[-LONGEST:]), tokens) for item in requests]
    return Tuned(tuple(costs), tuple(_choose(model, prompts, spec, dict(costs), setting) for spec in specs))


def call_costs(lm: Any, sizes: Sequence[int]) -> list[tuple[int, float]]:
    """Seconds of a call with n new tokens after a short context; sizes are interleaved, so noise hits all.

    Noise only ever adds, so the slower two thirds of the timings are left out.
    """
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
    return [(size, statistics.median(sorted(values)[: REPEATS // 3])) for size, values in seconds.items()]


def _choose(model: Any, prompts: Sequence[Prompt], spec: str, costs: dict[int, float], setting: Setting) -> Choice:
    name, given = registry.parse(spec)
    parameter, needed = SIZED[name]
    options = {**given, **needed}
    if name == "decoders/token_recycling" and "hits" not in given:
        options["hits"] = _hits(_decoded(model, prompts, spec, setting)[0])
    trials: list[Trial] = []
    specs: list[str] = []
    for size in SIZES:
        specs.append(registry.format_spec(name, {**options, parameter: str(size)}))
        found, drafting = _decoded(model, prompts, specs[-1], setting)
        trials.append(_trial(size, found, drafting, costs))
        best = max(trial.speedup for trial in trials)
        if all(trial.speedup < WORSE * best for trial in trials[-2:]):
            break
    chosen = max(range(len(trials)), key=lambda place: trials[place].speedup)
    return Choice(name, specs[chosen], trials[chosen].speedup, tuple(trials))


def _decoded(model: Any, prompts: Sequence[Prompt], spec: str, setting: Setting) -> tuple[list[Decoded], float]:
    """The outputs, and the seconds that went into drafting."""
    decoder = registry.create("decoder", spec)
    if isinstance(decoder, Preparing):
        decoder = decoder.prepare(setting, model)
    meter = RunMeter(len(prompts))
    found = decoder.decode(model.lm, prompts, seeds=[0] * len(prompts), meter=meter)
    return found, meter.tally.spans.get("draft", 0.0)


def _trial(size: int, found: Sequence[Decoded], drafting: float, costs: dict[int, float]) -> Trial:
    emitted = sum(len(item.tokens) + (item.finished == "eos") for item in found)
    calls = max(1, sum(item.calls for item in found))
    nodes = sum(item.drafted for item in found) / calls
    # calls draft fewer nodes than they may, so a call's cost is read at the mean number, between measured sizes
    seconds = _between(costs, 1 + nodes) + drafting / calls
    return Trial(size, emitted / calls, nodes, drafting / calls, emitted / calls * costs[1] / seconds)


def _hits(found: Sequence[Decoded]) -> str:
    """How often in a thousand the target's next token was the candidate of each rank, as a decoder's parameter."""
    total = sum(item.extra.get("ranked", 0.0) for item in found)
    ranks = sorted(int(key.removeprefix("rank")) for key in found[0].extra if key.removeprefix("rank").isdigit())
    counts = [sum(item.extra.get(f"rank{rank}", 0.0) for item in found) for rank in ranks]
    return "+".join(str(max(1, round(1000 * count / max(1.0, total)))) for count in counts)


def _between(costs: dict[int, float], size: float) -> float:
    known = sorted(costs)
    below = max(value for value in known if value <= size)
    above = min((value for value in known if value >= size), default=below)
    if above == below:
        return costs[below]
    share = (size - below) / (above - below)
    return costs[below] * (1 - share) + costs[above] * share
