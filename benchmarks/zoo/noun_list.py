"""Does a transformer that was trained on repeated lists find a second list easy, and an LSTM less so?

    python benchmarks/zoo/noun_list.py [--steps 4000] [--width 96] [--out runs/zoo]

Both are byte-level language models, trained from scratch on texts in which a list of words is read twice. The sentences
around the lists are the task's own; the words are those of Python's documentation that are none of its nouns, drawn
anew for every text, so that only copying helps and the task's lists are new to both. Then `recall/noun_list`: repeat
surprisal in percent of the first list's, for the same list, the same nouns in another order and other nouns. The claim:
the transformer's falls far below 100 for the same list; the LSTM's falls less, and as much for the other order.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

from harness import planning, runner, sources
from harness.api import registry
from harness.api.types import Example, Score
from harness.progress import Display
from harness.session import Session

TEXTS = 12_000
TASK = "recall/noun_list:length=5,scenario=short"


def frame(trial: Example) -> tuple[str, str]:
    """What a trial says before its first list and between the two."""
    (request,) = trial.requests
    assert isinstance(request, Score)
    first, second = (trial.target[name] for name in ("first", "second"))
    return request.context + request.continuation[: first[0][0]], request.continuation[first[-1][1] : second[0][0]]


def words(trials: Sequence[Example]) -> list[str]:
    """Words of four to nine letters of Python's documentation that no trial holds, sorted."""
    from pydoc_data.topics import topics

    asked = {word for trial in trials for word in re.findall(r"[a-z]+", trial.requests[0].continuation)}
    return sorted({word for text in topics.values() for word in re.findall(r"\b[a-z]{4,9}\b", text)} - asked)


def corpus(trials: Sequence[Example], seed: int, texts: int) -> str:
    """Paragraphs in the first trial's frame, with two equal lists of 3 to 7 words."""
    rng, known, (before, between) = np.random.default_rng(seed), words(trials), frame(trials[0])
    lists = [
        ", ".join(known[index] for index in rng.choice(len(known), int(rng.integers(3, 8)), replace=False))
        for _ in range(texts)
    ]
    return "\n\n".join(f"{before}{listed}{between}{listed}." for listed in lists)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--context", type=int, default=512, help="bytes of a window, of which a step reads 4,096")
    parser.add_argument("--limit", type=int, help="trials")
    parser.add_argument("--models", default="transformer,lstm")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"))
    asked = parser.parse_args()
    file = asked.out / "repeated_lists.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    trials = list(registry.create("task", TASK).examples("test", 0, sources.from_environment(print)))
    file.write_text(corpus(trials, 0, TEXTS), encoding="utf-8")
    size = f"width={asked.width},depth=2,steps={asked.steps},context={asked.context},corpus={file}"
    size += f",batch={max(1, 4096 // asked.context)}"
    models = [f"lms/scratch:mixer=sequence/{name},{size}" for name in asked.models.split(",")]
    plan, rows = planning.plan([TASK], models, limit=asked.limit), []
    with Display(len(plan.cells)) as display:
        session = Session(
            sources.from_environment(display.announce), asked.out, announce=display.announce, progress=display
        )
        for outcome in runner.run_all(plan.cells, session):
            if outcome.finished is None:
                print(f"failed: {outcome.cell.title}: {outcome.error}", flush=True)
                continue
            found = outcome.finished.result
            values = [f"{item.value:.1f} [{item.low:.1f}, {item.high:.1f}]" for item in found.metrics.values()]
            rows.append([found.identity["mixer"], found.identity["parameters"], *values, found.failed])
    heads = ["mixer", "parameters", "repeat %", "permute %", "novel %", "failed"]
    print(tabulate(rows, heads, disable_numparse=True))


if __name__ == "__main__":
    main()
