"""Whose sense of direction survives larger images? Arrow pointing, trained on 24 pixels a side and read at 48.

    python benchmarks/zoo/arrows.py [--steps 1500] [--seeds 3] [--size 26000] [--out runs/zoo]

Patches of 2 pixels give 12 tokens a side in training and 24 at test, the paper's numbers at an eighth of its scale.
pLSTM should lose less accuracy at twice the size than transformers (ViT) of as many parameters, which see all patches
at once, with rotary positions along the flattened image or none. The training size is read on the validation split,
which also chose the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

from _grid import Wanted, chosen, parser, pooled, results
from tabulate import tabulate

from harness.results import RunResult

MODELS = ("plstm", "plstm:mode=D", "transformer:causal=False", "transformer:causal=False,positions=none")
TASK = "long_range/arrow_pointing:patch=2,train=8000,validation=1000"


def lost(small: Sequence[RunResult], large: Sequence[RunResult]) -> list[float]:
    """Accuracy at the training size less that at twice the size, seed by seed."""
    pairs = zip(small, large, strict=True)
    return [near.metrics["accuracy"].value - far.metrics["accuracy"].value for near, far in pairs]


def main() -> None:
    made = parser(__doc__, steps=1500, seeds=3, out="runs/zoo", limit=1000)
    made.add_argument("--size", type=int, default=26_000, help="most parameters of a model")
    asked = made.parse_args()
    specs = [f"sequence/{name}{',' if ':' in name else ':'}size={asked.size}" for name in MODELS]
    wanted = [item.model for item in chosen([Wanted(spec) for spec in specs], asked.models)]
    small, large = results(TASK, wanted, asked, "validation"), results(TASK, wanted, asked)
    rows = []
    for spec in wanted:
        if not small[spec] or len(small[spec]) != len(large[spec]):
            continue
        sizes = [
            f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, (low, high) in map(pooled, (small[spec], large[spec]))
        ]
        loss = lost(small[spec], large[spec])
        single = " ".join(f"{value:+.3f}" for value in loss)
        parameters = small[spec][0].identity["parameters"]
        rows.append([spec.removeprefix("sequence/"), parameters, *sizes, f"{sum(loss) / len(loss):+.3f}", single])
    heads = ["model", "parameters", "at 24", "at 48", "lost", "lost by seed"]
    print(tabulate(rows, heads, disable_numparse=True))


if __name__ == "__main__":
    main()
