"""What is timed? One process that does a cell's work on request; it reads no clock, its parent does.

Run as a script with one side's packages first on the path, so that it imports nothing of ours until a cell is asked
for. Requests and answers are JSON lines: {"cell": ..., "times": n} runs the work n times (0: only prepares it).

Cells: `startup`, `kernel:NAME[@T=512+B=4]`, `score:MODEL`, `prefill:MODEL`, `decode:MODEL`, `train:MODEL@TASK`,
`call:MODULE:FUNCTION`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

TEXT = "The harbour was quiet in the early morning, and the first boats had already left for the open sea. "
PROMPT_REPEATS = 12  # about 250 tokens of prompt
NEW_TOKENS = 32  # of a decode cell
STEPS = 5  # of a train cell
EXAMPLES = 256  # that a train cell learns from, at most

Work = Callable[[], object]


def main() -> None:
    """Answer requests until the parent closes the pipe."""
    # whatever the work prints must not reach the pipe
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    ready: dict[str, Work] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {"ok": True}
        try:
            if request["cell"] not in ready:
                ready[request["cell"]] = prepare(request["cell"])
                answer["origin"] = origin()
            work = ready[request["cell"]]
            for _ in range(request["times"]):
                work()
        except Exception as problem:  # noqa: BLE001 - any failure of the measured code is an answer, not an end
            answer = {"ok": False, "error": f"{type(problem).__name__}: {problem}"[:500]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def prepare(cell: str) -> Work:
    """The work of a cell as a function without arguments; imports and loads what it needs."""
    kind, _, rest = cell.partition(":")
    if kind == "startup":
        return _startup
    if kind == "call":
        module, _, name = rest.partition(":")
        found: Work = getattr(importlib.import_module(module), name)
        return found
    makers: dict[str, Callable[[str], Work]] = {
        "kernel": _kernel,
        "score": _score,
        "prefill": lambda model: _generate(model, TEXT * PROMPT_REPEATS, 1),
        "decode": lambda model: _generate(model, TEXT, NEW_TOKENS),
        "train": _train,
    }
    if kind not in makers:
        raise ValueError(f"no kind of cell named {kind!r}; there are startup, call, {', '.join(makers)}")
    return makers[kind](rest)


def origin() -> str:
    """Where this side's package was imported from; empty when the cell needed none of it."""
    module = sys.modules.get("harness")
    return os.path.dirname(getattr(module, "__file__", "") or "")


def _startup() -> None:
    subprocess.run(
        [sys.executable, "-P", "-m", "harness.cli", "--help"], check=True, stdout=subprocess.DEVNULL, timeout=60
    )


def _kernel(spec: str) -> Work:
    from harness.api import registry

    name, _, sizes = spec.partition("@")
    size = {part.partition("=")[0]: int(part.partition("=")[2]) for part in sizes.split("+") if part}
    truth = importlib.import_module(registry.card("kernel", name).module)
    operation = importlib.import_module("harness.kernels._dispatch").operation(name)
    # inputs come in float64; float32 is what models use
    arguments = _narrow(truth.inputs({"T": 512, **size}, 0))
    return functools.partial(operation, **arguments)


def _narrow(value: Any) -> Any:
    """The same, with every float64 tensor inside in float32."""
    if isinstance(value, dict):
        return {key: _narrow(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_narrow(item) for item in value)
    return value.float() if str(getattr(value, "dtype", "")) == "torch.float64" else value


def _score(spec: str) -> Work:
    from harness.api.protocols import SilentMeter
    from harness.api.types import Score

    loaded = _load(spec)
    requests = [Score(TEXT, TEXT * 2), Score("", TEXT)]
    return lambda: _answered(loaded.score(requests, meter=SilentMeter()))


def _generate(spec: str, source: str, new_tokens: int) -> Work:
    from harness.api import registry
    from harness.api.protocols import SilentMeter
    from harness.api.types import Generate

    loaded = _load(spec)
    decoder = registry.create("decoder", "greedy")
    requests = [Generate(source, new_tokens)]
    return lambda: _answered(loaded.generate(requests, decoder=decoder, seeds=[0], meter=SilentMeter()))


def _train(spec: str) -> Work:
    from harness.api import registry
    from harness.api.protocols import Setting, SilentMeter
    from harness.api.types import Budget
    from harness.sources import from_environment

    model_spec, _, task_spec = spec.rpartition("@")
    task = registry.create("task", task_spec)
    learner = registry.create("model", model_spec)
    sources = from_environment(_quiet)
    setting = Setting(sources=sources, announce=_quiet)
    # read once, since reading data is not what this cell is about
    splits = [_examples(task, name, sources) for name in ("train", "validation")]
    streams = [functools.partial(iter, split) for split in splits]
    return lambda: learner.fit(*streams, seed=0, budget=Budget(steps=STEPS), setting=setting, meter=SilentMeter())


def _examples(task: Any, split: str, sources: Any) -> list[Any]:
    from harness.api.errors import UsageError

    try:
        return list(itertools.islice(task.examples(split, 0, sources), EXAMPLES))
    except UsageError:
        # a task may have no validation split, as in a run
        if split == "train":
            raise
        return []


def _load(spec: str) -> Any:
    from harness.api import registry
    from harness.api.protocols import Setting
    from harness.sources import from_environment

    return registry.create("model", spec).load(Setting(sources=from_environment(_quiet), announce=_quiet))


def _answered(responses: list[Any]) -> None:
    for response in responses:
        if type(response).__name__ == "Failure":
            raise RuntimeError(f"the model failed: {response.error}")


def _quiet(line: str) -> None:
    """Nobody reads a worker's announcements."""


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
