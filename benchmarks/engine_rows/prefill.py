"""Prefill against the bare matrix products, and what the packed layout gives one product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from engine_rows._bench import Bench, Outcome, sizes
from harness.api.types import Want
from harness.models.lms._linear import PackedLinear


def prefill(bench: Bench) -> Outcome:
    """2,048 tokens; the bare side computes the same matrix products as `F.linear`, and packed as we do."""
    lm = bench.ours().lm
    shape = lm.network.shape  # type: ignore[attr-defined]
    ids = torch.randint(10, shape.vocabulary, (2048,), generator=torch.Generator().manual_seed(0)).tolist()
    plain = [torch.randn(*size) for size in sizes(shape)]
    packed = [PackedLinear(weight) for weight in plain]
    inputs = [torch.randn(2048, size[1]) for size in sizes(shape)]

    def ours(_: int) -> None:
        lm.step(lm.start(1, 2048), [ids], Want("none"))

    def bare(layouts: Sequence[Callable[[torch.Tensor], Any]]) -> None:
        for _ in range(shape.layers):
            for x, layout in zip(inputs, layouts, strict=True):
                layout(x)

    with torch.inference_mode():
        linear = [lambda x, w=weight: F.linear(x, w) for weight in plain]
        outcome = bench.compare("prefill", range(bench.rounds), ours, lambda _: bare(linear), ">= 0.9x of the products")
        tight = bench.compare("prefill", range(bench.rounds), ours, lambda _: bare(packed), "")
    return replace(outcome, note=f"against the same products packed: {tight.ratio:.2f}x; attention is in ours alone")


def layout(bench: Bench) -> Outcome:
    """One 3072 x 576 product, packed against `F.linear`, at batch 1 and 512."""
    weights = [torch.randn(3072, 576) for _ in range(24)]
    packed = [PackedLinear(weight) for weight in weights]
    parts = []
    with torch.inference_mode():
        for rows in (1, 512):
            x = torch.randn(rows, 576)
            outcome = bench.compare(
                "layout", range(5 * bench.rounds),
                lambda _, x=x: [layer(x) for layer in packed], lambda _, x=x: [F.linear(x, w) for w in weights], "",
            )  # fmt: skip
            parts.append((rows, outcome))
    note = "; ".join(
        f"{rows} rows {outcome.ratio:.2f}x [{outcome.low:.2f}, {outcome.high:.2f}]" for rows, outcome in parts
    )
    return Outcome("layout", parts[0][1].ours, parts[0][1].theirs, parts[0][1].ratio, note=note)


ROWS = {"layout": layout, "prefill": prefill}
