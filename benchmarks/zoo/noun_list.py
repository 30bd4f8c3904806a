"""Does a transformer that was trained on repeated lists find a second list easy, and an LSTM less so?

    python benchmarks/zoo/noun_list.py [--steps 1500] [--width 96] [--out runs/zoo]

Both are byte-level language models, trained from scratch on texts in which a list of words is read twice, after some
other words each time (all of them words of Python's documentation, drawn anew for every text, so that only copying
helps, and only a model that looks for the list itself can use it in the task's own sentences). Then
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
TASK = "recall/noun_list:length=5,scenario=short"


def words() -> list[str]:
    """Words of four to nine letters of Python's documentation, sorted."""
    from pydoc_data.topics import topics

    return sorted({word for text in topics.values() for word in re.findall(r"\b[a-z]{4,9}\b", text)})


def corpus(seed: int, texts: int) -> str:
    """Paragraphs `Some words: a, b, c. Other words: a, b, c.` with 2 to 10 words before and 3 to 8 in a list."""
    rng, known = np.random.default_rng(seed), words()

    def drawn(fewest: int, most: int) -> list[str]:
        return [known[index] for index in rng.choice(len(known), int(rng.integers(fewest, most + 1)), replace=False)]

    def sentence(listed: str) -> str:
        return f"{' '.join(drawn(2, 10)).capitalize()}: {listed}."

    lists = [", ".join(drawn(3, 8)) for _ in range(texts)]
    return "\n\n".join(f"{sentence(listed)} {sentence(listed)}" for listed in lists)


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
