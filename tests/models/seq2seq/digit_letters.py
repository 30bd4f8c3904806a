"""A transduction that is learnt in seconds, and small fitted models of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

from harness.api import registry
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget, Example, Generate

SMALL = "units=char,dropout=0.0,batch=32"
SPECS = {
    "rnn_attention": f"seq2seq/rnn_attention:width=32,depth=1,learning_rate=0.02,{SMALL}",
    "transformer": f"seq2seq/transformer:width=32,heads=2,depth=1,learning_rate=0.005,{SMALL}",
    "sutskever": f"seq2seq/sutskever:width=64,depth=1,learning_rate=0.01,{SMALL}",
    "gnmt": f"seq2seq/gnmt:width=32,depth=2,learning_rate=0.01,{SMALL}",
}

STEPS = {"gnmt": 450}  # depth is learnt more slowly


def spelled(count: int, seed: int) -> Iterator[Example]:
    """Digits in, the same digits in another alphabet out: 314 -> dbe."""
    rng = random.Random(seed)
    for number in range(count):
        digits = "".join(rng.choice("012345") for _ in range(rng.randint(1, 3)))
        answer = "".join("abcdef"[int(digit)] for digit in digits)
        yield Example(f"{seed}-{number}", (Generate(digits, 12),), answer)


def fit(spec: str, steps: int, folder: Any = None, seed: int = 0, pairs: Any = None, dtype: str = "auto") -> Any:
    """A fitted model of the digits (or of other examples)."""
    learner = registry.create("model", spec)
    return learner.fit(
        lambda: iter(pairs) if pairs is not None else spelled(600, 1),
        lambda: spelled(20, 2) if pairs is None else iter(()),
        seed=seed,
        budget=Budget(steps=steps),
        setting=Setting(None, folder=folder, dtype=dtype),  # type: ignore[arg-type]
        meter=SilentMeter(),
    )


@cache
def fitted(name: str) -> Any:
    """Each network after a short fit."""
    return fit(SPECS[name], STEPS.get(name, 220))
