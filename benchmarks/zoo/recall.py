"""Who returns the value that stood with a key? Associative recall of 8 pairs at width 64, and beyond a memory's rank.

    python benchmarks/zoo/recall.py [--steps 800] [--seeds 1] [--out runs/zoo]
    python benchmarks/zoo/recall.py --memories [--steps 800] [--seeds 3]

The first prints attention, gated memories, and those that should fail or be slower; the mLSTM cell is judged in its
block, whose short convolution lets a value meet its key, and stands bare beside it. The second asks for 24 pairs of
memories whose keys are 8 wide (4 for mamba2, whose values are wider), so that a linear memory holds fewer keys than it
is shown: Titans of depth 2 >= depth 1 >= linear.
"""

from __future__ import annotations

from _grid import Wanted, chosen, parser, results, table

PAIRS = [
    Wanted("sequence/transformer:positions=learned", at_least=0.99),
    Wanted("sequence/mamba2", at_least=0.99),
    Wanted("sequence/xlstm:scalar=0", at_least=0.99),
    Wanted("sequence/transformer"),
    Wanted("sequence/mlstm"),
    Wanted("sequence/titans"),
    Wanted("sequence/tcnca"),
    Wanted("sequence/mega"),
    Wanted("sequence/lstm"),
    Wanted("sequence/aaren", at_most=0.5),
    Wanted("sequence/s4d", at_most=0.5),
]
# a value must meet its key, one token before it: titans and mamba2 convolve, linear attention needs a layer for it
MEMORIES = [
    Wanted("sequence/linear_attention:width=32"),
    Wanted("sequence/mamba2:states=4,width=32"),
    Wanted("sequence/titans:memory_depth=1,width=32"),
    Wanted("sequence/titans:memory_depth=2,width=32"),
]
TRAIN = "train=20000"  # sequences, so that none is met often enough to be known by heart


def main() -> None:
    made = parser(__doc__, steps=800, seeds=1, out="runs/zoo", limit=1000)
    made.add_argument("--memories", action="store_true", help="24 pairs in small memories")
    asked = made.parse_args()
    task = f"long_range/associative_recall:alphabet=32,pairs=24,{TRAIN}" if asked.memories else ""
    task = task or f"long_range/associative_recall:{TRAIN}"
    wanted = chosen(MEMORIES if asked.memories else PAIRS, asked.models)
    print(table(wanted, results(task, [item.model for item in wanted], asked)))


if __name__ == "__main__":
    main()
