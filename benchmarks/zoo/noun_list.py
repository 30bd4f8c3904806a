"""Does a transformer that was trained on repeated lists find a second list easy, and an LSTM less so?

    python benchmarks/zoo/noun_list.py [--steps 1500] [--width 96] [--out runs/zoo]

Both are byte-level language models, trained from scratch on texts in which a list of words is read twice with a short
sentence between (words of Python's documentation, drawn anew for every text, so that only copying helps). Then
`recall/noun_list`: repeat surprisal in percent of the first list's, for the same list, the same nouns in another order
and other nouns. The claim: the transformer's falls far below 100 for the same list; the LSTM's falls less, and as much
for the other order.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
from tabulate import tabulate

from harness import planning, runner, sources
from harness.progress import Display
from harness.session import Session

TEXTS = 12_000
BETWEEN = ("He read the list again:", "Then she wrote it down:", "Later they saw it once more:", "It said again:")
TASK = "recall/noun_list:length=5,scenario=short"


def words() -> list[str]:
    """Words of four to nine letters of Python's documentation, sorted."""
    from pydoc_data.topics import topics

    return sorted({word for text in topics.values() for word in re.findall(r"\b[a-z]{4,9}\b", text)})


def corpus(seed: int, texts: int) -> str:
    """Paragraphs `Mary wrote down a list of words: a, b, c. <sentence> a, b, c.` with 3 to 6 words each."""
    rng, known = np.random.default_rng(seed), words()
    lines = []
    for _ in range(texts):
        chosen = ", ".join(known[index] for index in rng.choice(len(known), int(rng.integers(3, 7)), replace=False))
        lines.append(f"Here is a list: {chosen}. {BETWEEN[int(rng.integers(len(BETWEEN)))]} {chosen}.")
    return "\n\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--context", type=int, default=256, help="bytes")
    parser.add_argument("--limit", type=int, help="trials")
    parser.add_argument("--models", default="transformer,lstm")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"))
    asked = parser.parse_args()
    file = asked.out / "repeated_lists.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(corpus(0, TEXTS), encoding="utf-8")
    size = f"width={asked.width},depth=2,steps={asked.steps},context={asked.context},corpus={file}"
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
