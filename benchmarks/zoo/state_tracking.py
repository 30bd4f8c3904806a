"""Who keeps one bit for ever? Parity: train on 40 bits, read positions 128..256 of 256, every position supervised.

    python benchmarks/zoo/state_tracking.py [--steps 1200] [--seeds 3] [--depth 1] [--out runs/zoo]

One protocol for all: width 32, one layer, rate 0.01. Recurrent cells should solve it; attention and linear memories
with decays in 0..1 are negative controls: one that passes would mean that the task leaks its labels.
"""

from __future__ import annotations

from _grid import Wanted, chosen, parser, results, table

SOLVE = ("lstm", "gru", "slstm")
CONTROLS = ("transformer", "mamba2", "mlstm", "s4d", "aaren")


def main() -> None:
    made = parser(__doc__, steps=1200, seeds=3, out="runs/zoo", limit=200)
    made.add_argument("--depth", type=int, default=1, help="layers (1)")
    made.add_argument("--rate", default="0.01", help="learning rate (0.01)")
    asked = made.parse_args()
    protocol = f"depth={asked.depth},learning_rate={asked.rate},width=32"
    claims = [Wanted(f"sequence/{name}:{protocol}", at_least=0.99) for name in SOLVE]
    claims += [Wanted(f"sequence/{name}:{protocol}", at_most=0.60) for name in CONTROLS]
    wanted = chosen(claims, asked.models)
    found = results("long_range/parity", [item.model for item in wanted], asked)
    print(table(wanted, found))


if __name__ == "__main__":
    main()
