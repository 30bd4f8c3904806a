"""tune: measure what a target call of n tokens costs on this machine, and pick the draft size that pays best."""

from __future__ import annotations

import argparse
import json
from itertools import islice
from typing import Any

from tabulate import tabulate

from harness import devices, sources, tuning
from harness.api import registry
from harness.api.errors import UsageError
from harness.api.protocols import Setting
from harness.api.types import Generate
from harness.terminal import plain, say


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--model", required=True, metavar="M", help="a language model that decoders can drive")
    parser.add_argument("--decoder", default="token_recycling,prompt_lookup", help="which of these two to tune")
    parser.add_argument("--task", default="decoding/spec_bench", metavar="T", help="whose prompts are decoded")
    parser.add_argument("--limit", type=int, default=4, metavar="N", help="prompts (default 4)")
    parser.add_argument("--tokens", type=int, default=48, metavar="N", help="new tokens a prompt (default 48)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Measure, choose, print the decoder specs to use."""
    if options.limit < 1 or options.tokens < 8:
        raise UsageError("tune needs --limit 1 or more and --tokens 8 or more.")
    wanted = [registry.resolve("decoder", name) for name in options.decoder.split(",")]
    for name in wanted:
        if name not in tuning.SPECS:
            raise UsageError(f"tune cannot size {name}; it sizes {', '.join(sorted(tuning.SPECS))}.")
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
    found = tuning.tune(model, [item for item in requests if isinstance(item, Generate)], wanted, options.tokens)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print(_text(found))
    return 0


def _text(found: dict[str, Any]) -> str:
    costs = [
        [size, f"{seconds * 1000:.1f}", f"{seconds / found['costs'][0][1]:.2f}"] for size, seconds in found["costs"]
    ]
    parts = [tabulate(costs, ["tokens a call", "ms", "against one"], disable_numparse=True)]
    for choice in found["choices"]:
        trials = [[size, f"{emitted:.2f}", f"{gain:.2f}"] for size, emitted, gain in choice["trials"]]
        parts.append(tabulate(trials, ["nodes", "tokens a call", "expected speed-up"], disable_numparse=True))
        parts.append(plain(f"--decoder {choice['spec']}"))
    return "\n\n".join(parts)
