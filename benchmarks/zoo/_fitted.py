"""How is one fit read on several tests? Trained once through the registry, resumable, and asked of any variant.

`harness run` fits for one task at a time; a claim about other lengths or sizes needs the same weights on each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import sources
from harness.api import registry
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget

BATCH = 25


def fitted(model: str, task: str, *, seed: int, steps: int, out: Path) -> Any:
    """The model trained on the task; finished fits are kept under `out` and loaded."""
    setting = Setting(sources.from_environment(print), folder=place(out, model, task, steps, seed))
    made = registry.create("task", task)
    return registry.create("model", model).fit(
        lambda: made.examples("train", seed, setting.sources),
        lambda: made.examples("validation", seed, setting.sources),
        seed=seed,
        budget=Budget(steps=steps),
        setting=setting,
        meter=SilentMeter(),
    )


def place(out: Path, *choices: object) -> Path:
    """Where a fit of these choices is kept; a change of the code is none of them and wants another `out`."""
    return out / "fits_of_claims" / hashlib.sha256("|".join(map(str, choices)).encode()).hexdigest()[:16]


def answers(model: Any, task: str, *, seed: int) -> list[tuple[NDArray[np.float64], Any]]:
    """Scores and target of each test example of a task."""
    examples = list(registry.create("task", task).examples("test", seed, sources.from_environment(print)))
    found = []
    for start in range(0, len(examples), BATCH):
        part = examples[start : start + BATCH]
        given = model.label([example.requests[0] for example in part], meter=SilentMeter())
        found += [(answer.scores, example.target) for answer, example in zip(given, part, strict=True)]
    return found


def hits(found: Sequence[tuple[NDArray[np.float64], Any]]) -> NDArray[np.float64]:
    """Accuracy of each example."""
    return np.array([float(np.mean(scores.argmax(-1) == target)) for scores, target in found])
