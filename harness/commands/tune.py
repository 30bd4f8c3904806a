"""tune: measure what a target call of n tokens costs on this machine, and pick the draft size that pays best."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from tabulate import tabulate

from harness import devices, environment, sources, timing, tuning
from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.types import Generate
from harness.cache import write_whole
from harness.terminal import plain, say
from harness.tuning import Tuned

DECODERS = "token_recycling,prompt_lookup,speculative"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--model", required=True, metavar="M", help="a language model that decoders can drive")
    parser.add_argument("--decoder", default=DECODERS, metavar="D[,D2]", help=f"which of these to size ({DECODERS})")
    parser.add_argument("--task", default="decoding/spec_bench:per_category=1", metavar="T", help="whose prompts")
    parser.add_argument("--limit", type=int, default=6, metavar="N", help="prompts (6)")
    parser.add_argument("--tokens", type=int, default=48, metavar="N", help="new tokens a prompt (48)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the specs; `harness run --decoder @FILE`")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Measure, choose, print the decoder specs to use."""
    if options.limit < 1 or options.tokens < 8:
        raise UsageError("tune needs --limit 1 or more and --tokens 8 or more.")
    wanted = registry.select("decoder", options.decoder)
    for spec in wanted:
        name, given = registry.parse(spec)
        if name not in tuning.SIZED:
            raise UsageError(f"tune cannot size {name}; it sizes {', '.join(sorted(tuning.SIZED))}.")
        if tuning.SIZED[name][0] in given:
            raise UsageError(f"{spec} has a size already; leave {tuning.SIZED[name][0]} out for tune to find it.")
    (model_spec,) = registry.select("model", options.model)
    if not registry.card("model", model_spec.partition(":")[0]).facts.get("decodes"):
        raise UsageError(f"{model_spec} is not driven by decoders, so there is nothing to tune.")
    (task_spec,) = registry.select("task", options.task)
    setting = Setting(sources.from_environment(say), devices.resolve(options.device), options.dtype, announce=say)
    task = registry.create("task", task_spec)
    if task.door != "generate":
        raise UsageError(f"{task_spec} asks for {task.door}; tuning needs prompts to continue.")
    requests = [example.requests[0] for example in islice(task.examples("test", 0, setting.sources), options.limit)]
    model = registry.create("model", model_spec).load(setting)
    asked = [item for item in requests if isinstance(item, Generate)]
    found = tuning.tune(model, asked, wanted, options.tokens, setting)
    print(json.dumps(asdict(found), indent=1) if options.json else _text(found))
    if options.save:
        write_whole(options.save, _file(found, model_spec, setting.device))
        say(f"written: {options.save}; use it as `harness run --decoder greedy,@{options.save} --interleave ...`")
    return 0


def _text(found: Tuned) -> str:
    one = found.costs[0][1]
    costs = [[size, f"{seconds * 1000:.1f}", f"{seconds / one:.2f}"] for size, seconds in found.costs]
    parts = [tabulate(costs, ["tokens a call", "ms", "against one"], disable_numparse=True)]
    heads = ["size", "tokens a call", "nodes a call", "drafting ms", "expected speed-up"]
    for choice in found.choices:
        trials = [
            [trial.size, f"{trial.tokens_per_call:.2f}", f"{trial.nodes_per_call:.1f}",
             f"{1000 * trial.draft_seconds:.2f}", f"{trial.speedup:.2f}"]
            for trial in choice.trials
        ]  # fmt: skip
        parts.append(tabulate(trials, heads, disable_numparse=True))
        worth = "" if choice.speedup > 1 else "  (no size is expected to beat greedy decoding)"
        parts.append(plain(f"--decoder {choice.spec}") + worth)
    return "\n\n".join(parts)


def _file(found: Tuned, model: str, device: str) -> str:
    one = found.costs[0][1]
    costs = ", ".join(f"{size}: {seconds / one:.2f}" for size, seconds in found.costs)
    lines = [
        f"# sizes of drafts for {plain(model)} on {plain(_machine(device))}, {timing.date()}, by `harness tune`",
        f"# cost of a call of n tokens, in calls of one: {costs}",
    ]
    for choice in found.choices:
        lines += [f"# expected speed-up over greedy: {choice.speedup:.2f}", choice.spec]
    return "\n".join(lines) + "\n"


def _machine(device: str) -> str:
    place = environment.describe(device)
    return str(place.get("accelerator") or place.get("cpu") or device)
