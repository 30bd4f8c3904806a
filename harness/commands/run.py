"""run: evaluate every combination of the named tasks, models and decoders."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.api import registry
from harness.api.errors import UsageError
from harness.api.types import Budget
from harness.terminal import plain, say

if TYPE_CHECKING:
    from harness.planning import Plan
    from harness.runner import Outcome

T = TypeVar("T")
FAILURES = 3  # kinds of failure that are told of a run in which every example failed
BUDGET = {"steps": int, "seconds": float, "tokens": int, "parameters": int}


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "--task", required=True, metavar="T[,T2]", help="tasks, with parameters: recall/noun_list:length=5"
    )
    parser.add_argument("--model", required=True, metavar="M[,M2]", help="models; sequence/* takes a whole folder")
    parser.add_argument(
        "--decoder", default="", metavar="D[,D2]", help="decoders for models that take one (greedy); @FILE: as tuned"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the first N examples of each task (all)")
    parser.add_argument("--split", default="test", help="train, validation or test (test)")
    parser.add_argument("--seed", default="0", metavar="S[,S2]", help="seeds, one run each (0)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16 (auto)")
    parser.add_argument(
        "--budget",
        default="",
        metavar="steps=N,...",
        help="what a learner may spend: steps, seconds, tokens, parameters",
    )
    parser.add_argument("--batch-tokens", type=int, default=8192, metavar="N", help="most tokens of a batch (8192)")
    parser.add_argument("--single", action="store_true", help="one request at a time: latencies as one user sees them")
    parser.add_argument(
        "--interleave", action="store_true", help="decoders take turns, example by example (with --single): fair speeds"
    )
    parser.add_argument("--own", action="append", default=[], metavar="DATASET=FOLDER", help="use your own files")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="FOLDER", help="where runs are kept (runs)")
    parser.add_argument("--fresh", action="store_true", help="compute again what is finished")
    parser.add_argument("--json", action="store_true", help="print results as JSON instead of a table")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Check every name before anything is imported, refuse before anything is loaded, then run and show."""
    for kind in ("task", "model"):
        if not getattr(options, kind).strip():
            raise UsageError(f"--{kind} names no {kind}; `harness list {kind}s` shows them.")
    names = {
        "task": registry.select("task", options.task),
        "model": registry.select("model", options.model),
        "decoder": registry.select("decoder", with_files(options.decoder)) if options.decoder else [],
    }
    seeds, budget = parse_seeds(options.seed), parse_budget(options.budget)
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"limit is {options.limit}; it counts examples, so give 1 or more, or leave it out for all.")
    if options.batch_tokens < 1:
        raise UsageError(f"--batch-tokens is {options.batch_tokens}; it must be 1 or more.")

    from harness import planning

    plan = planning.plan(
        names["task"],
        names["model"],
        names["decoder"],
        split=options.split,
        limit=options.limit,
        seeds=seeds,
        device=options.device,
        dtype=options.dtype,
        budget=budget,
    )
    if not plan.cells:
        more = f" ({len(plan.refusals) - 1} more like it)" if len(plan.refusals) > 1 else ""
        raise UsageError(plan.refusals[0].reason + more)
    try:
        outcomes = _run(plan, options)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Finished examples are safe; go on with: {resuming(options.given)}") from None
    return _report(plan, outcomes, options)


def with_files(text: str) -> str:
    """Each `@FILE` replaced by the specs that the file holds, one a line (`harness tune --save FILE` writes one)."""
    specs: list[str] = []
    for spec in registry.split_specs(text):
        if not spec.startswith("@"):
            specs.append(spec)
            continue
        try:
            lines = Path(spec[1:]).read_text(encoding="utf-8").splitlines()
        except OSError as problem:
            raise UsageError(f"--decoder {spec} names a file that cannot be read: {problem.strerror}.") from problem
        specs += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return ",".join(specs)


def parse_seeds(text: str) -> list[int]:
    """`0,1,2` as numbers, each once."""
    return list(dict.fromkeys(_number("--seed", part.strip(), int) for part in text.split(",")))


def parse_budget(text: str) -> Budget:
    """`steps=100,seconds=60` as a Budget."""
    spent = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.strip().partition("=")
        if name not in BUDGET:
            raise UsageError(f"--budget has no {name!r}; it is made of {', '.join(f'{key}=N' for key in BUDGET)}.")
        spent[name] = _number(f"--budget {name}", value, BUDGET[name])
        if not 0 < spent[name] < float("inf"):
            raise UsageError(f"--budget {name} is {value}; it must be more than 0.")
    return Budget(**spent)


def resuming(given: Sequence[str]) -> str:
    """The command that goes on where this one was interrupted."""
    return shlex.join(["harness", *(word for word in given if word != "--fresh")])


def _number(option: str, text: str, kind: Callable[[str], T]) -> T:
    try:
        return kind(text)
    except ValueError as problem:
        raise UsageError(f"{option} {text!r} is not a number.") from problem


def _run(plan: Plan, options: argparse.Namespace) -> list[Outcome]:
    from harness import runner, sources
    from harness.commands.fetch import own_folders
    from harness.own_data import require_asked_for
    from harness.progress import Display
    from harness.session import BATCH_REQUESTS, Session

    with Display(len(plan.cells)) as display:
        places = sources.from_environment(display.announce, own=own_folders(options.own))
        require_asked_for(plan.cells, places)
        session = Session(
            sources=places,
            out=options.out,
            fresh=options.fresh,
            batch_tokens=options.batch_tokens,
            batch_requests=1 if options.single or options.interleave else BATCH_REQUESTS,
            interleave=options.interleave,
            announce=display.announce,
            progress=display,
        )
        return list(runner.run_all(plan.cells, session))


def _report(plan: Plan, outcomes: Sequence[Outcome], options: argparse.Namespace) -> int:
    from harness import outcomes as shown

    if options.json:
        print(json.dumps(shown.as_json(outcomes, plan.refusals), indent=1))
    else:
        print(shown.as_table(outcomes, plan.refusals), flush=True)
    if any(outcome.finished for outcome in outcomes):
        board, problems = shown.write_board(outcomes, options.out)
        for problem in problems:
            say(f"left out: {problem}")
        say(f"leaderboard: {board}")
    for outcome in outcomes:
        if outcome.error is not None:
            say(f"failed: {outcome.cell.title}: {outcome.error}")
        elif outcome.finished is not None and outcome.finished.result.all_failed:
            # the table has room for the beginning alone
            for kind in outcome.finished.result.failures[:FAILURES]:
                say(
                    f"failed: {outcome.cell.title}: {kind.message} ({kind.count} of {outcome.finished.result.examples})"
                )
    for refusal in plan.refusals:
        say(f"refused: {plain(refusal.reason)}")
    # a pattern asks for what fits; names that were spelled out ask for every combination
    spelled_out = "*" not in options.task + options.model + options.decoder
    return 1 if shown.failed(outcomes) or (plan.refusals and spelled_out) else 0
