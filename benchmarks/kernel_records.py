"""Which runs give every comparison of benchmarks/kernels.py as records? `harness run` of an operation and its peers.

python benchmarks/kernel_records.py [--only OP[,OP]] [--out FOLDER] [--device cpu|cuda] [--dtype float32|bfloat16]

Each line of RUNS is the command `harness run --task TASK --model MODELS`, which can as well be typed. The loop of a
comparison is kernels/reference, the definition in the same precision. Then `harness publish FOLDER`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import cli

CPU = "kernels/cpu"
HEADWISE = "test=4,calls=2,heads=4"  # the loop takes seconds a call
RUNS: tuple[tuple[str, str], ...] = (
    ("kernels/fused_rnn:case=lstm projected", f"{CPU},kernels/torch_nn"),
    ("kernels/fused_rnn:case=gru projected", f"{CPU},kernels/torch_nn"),
    ("kernels/fused_rnn:case=lstm projected,batch=4,length=256,width=256", f"{CPU},kernels/torch_nn"),
    ("kernels/fused_rnn:case=gru projected,batch=4,length=256,width=256", f"{CPU},kernels/torch_nn"),
    ("kernels/fused_rnn:case=lstm,test=4,calls=2", f"{CPU},kernels/reference"),
    ("kernels/fused_rnn:case=slstm,test=4,calls=2", f"{CPU},kernels/reference"),
    (f"kernels/fused_rnn:case=lstm,{HEADWISE}", f"{CPU},kernels/reference"),
    (f"kernels/fused_rnn:case=slstm,{HEADWISE}", f"{CPU},kernels/reference"),
    ("kernels/linear_scan", f"{CPU},kernels/doubling_scan"),
    ("kernels/linear_scan:length=16384", f"{CPU},kernels/doubling_scan"),
    ("kernels/gated_linear:test=4,calls=3", f"{CPU},kernels/reference"),
    ("kernels/gated_linear:test=4,calls=3,backward=false", f"{CPU},kernels/reference"),
    # attention answers another question: its records are those of a causal mask at the same shape
    ("kernels/gated_linear:length=4096", CPU),
    ("kernels/gated_linear:length=4096,backward=false", CPU),
    ("kernels/tree_attention:length=4096,test=4,calls=3", "kernels/sdpa"),
    ("kernels/tree_attention:length=4096,test=4,calls=3,backward=false", "kernels/sdpa"),
    ("kernels/vandermonde:test=4,calls=2", f"{CPU},kernels/straightforward"),
    ("kernels/vandermonde:test=4,calls=2,backward=false", f"{CPU},kernels/straightforward"),
    ("kernels/long_conv:case=no past", f"{CPU},kernels/straightforward"),
    ("kernels/long_conv:case=no past,backward=false", f"{CPU},kernels/straightforward"),
    ("kernels/causal_conv", f"{CPU},kernels/shifted_sums"),
    ("kernels/causal_conv:taps=4", f"{CPU},kernels/shifted_sums"),
    ("kernels/prefix_softmax:case=no state,backward=false", f"{CPU},kernels/sdpa"),
    ("kernels/prefix_softmax:case=no state,backward=false,length=8192", f"{CPU},kernels/sdpa"),
    ("kernels/tree_attention:case=tree,length=64,prefix=8192,backward=false", f"{CPU},kernels/sdpa"),
    ("kernels/transducer:test=3,calls=2", f"{CPU},kernels/reference"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="operations, comma-separated (all)")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    for task, models in RUNS:
        operation = task.removeprefix("kernels/").partition(":")[0]
        if options.only and operation not in options.only.split(","):
            continue
        if options.device == "cuda":
            models = models.replace(CPU, "kernels/gpu")
        place = ["--device", options.device, "--dtype", options.dtype, "--out", str(options.out)]
        print(f"harness run --task '{task}' --model {models} {' '.join(place)}", flush=True)
        if status := cli.main(["run", "--task", task, "--model", models, *place]):
            raise SystemExit(status)


if __name__ == "__main__":
    main()
