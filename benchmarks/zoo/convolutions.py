"""Does TCNCA's dilated convolution beat MEGA's moving average by Fourier transform, as lengths grow to 131k?

    python benchmarks/zoo/convolutions.py [--rounds 5] [--longest 131072] [--backward]

Both in 64 channels with the models' defaults: 17 taps at dilations 1, 5, 25 against 16 averages a channel. The kernel
of the average depends on learned weights, so that training generates it at every step; at inference it could be kept.
Both countings are shown. The paper reports up to 7.07 (forward) and 2.86 (backward) on a GPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from _timed import ranged, ratio, timed
from tabulate import tabulate
from torch import Tensor

from harness.api import registry
from harness.kernels._dispatch import operation
from harness.models.sequence._mixer import Site

long_conv, vandermonde = operation("long_conv"), operation("vandermonde")
WIDTH = 64


def sides(length: int, backward: bool) -> dict[str, Callable[[], Any]]:
    torch.manual_seed(0)
    mega = registry.create("model", "sequence/mega").mixer(Site(WIDTH))
    tcnca = registry.create("model", "sequence/tcnca").mixer(Site(WIDTH))
    x_BTD = torch.randn(1, length, WIDTH, requires_grad=backward)
    state = tcnca.stack.start(1, x_BTD.device, x_BTD.dtype)
    with torch.no_grad():
        averages = mega.averages()
        kept = vandermonde(averages.weight_HN, averages.log_a_HN, length)
    kept.requires_grad_(backward)

    def dilated() -> Tensor:
        return tcnca.stack(x_BTD, state)[0]

    def fourier() -> Tensor:
        return long_conv(x_BTD.transpose(1, 2), kept, averages.skip_H)[0]

    def generated() -> Tensor:
        made = mega.averages()
        kernel = vandermonde(made.weight_HN, made.log_a_HN, length)
        return long_conv(x_BTD.transpose(1, 2), kernel, made.skip_H)[0]

    whole = {"dilated": dilated, "fourier": fourier, "generated": generated}
    if not backward:
        return {name: torch.no_grad()(work) for name, work in whole.items()}
    return {name: lambda work=work: work().sum().backward() for name, work in whole.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--longest", type=int, default=131_072)
    parser.add_argument("--backward", action="store_true", help="time forward and backward together")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rows, length = [], 1024
    while length <= asked.longest:
        taken = timed(sides(length, asked.backward), asked.rounds)
        without = ranged(*ratio(taken["fourier"], taken["dilated"]))
        counted = ranged(*ratio(taken["generated"], taken["dilated"]))
        milliseconds = [f"{1e3 * float(sorted(item)[len(item) // 2]):.1f}" for item in taken.values()]
        rows.append([length, *milliseconds, without, counted])
        print(f"{length}: MEGA over TCNCA {without} without the kernel's generation, {counted} with it", flush=True)
        length *= 2
    heads = [
        "length",
        "dilated ms",
        "Fourier ms",
        "with generation ms",
        "Fourier / dilated",
        "with generation / dilated",
    ]
    print(tabulate(rows, heads, disable_numparse=True))


if __name__ == "__main__":
    main()
