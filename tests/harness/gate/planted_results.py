"""Results whose per-example answers are known, for tests of the gate."""

from __future__ import annotations

import numpy as np

from harness.results import Measurement, RunResult, Samples
from harness.signature import digest

TASK = "long_context/passkey"


def answers(right: int, wrong: int) -> np.ndarray:
    return np.array([1.0] * right + [0.0] * wrong)[:, None]


def flipped(rows: np.ndarray, lost: int, won: int = 0) -> np.ndarray:
    changed = rows.copy()
    changed[np.flatnonzero(rows == 1)[:lost]] = 0.0
    changed[np.flatnonzero(rows == 0)[:won]] = 1.0
    return changed


def result(statistics: np.ndarray, **changes) -> RunResult:
    signature = {
        "task": TASK, "task_version": 1, "data": "generated:1", "split": "test", "limit": None, "seed": 0,
        "metrics": {"key_found": "key_found|v1"}, "model": "lms/ngram", "decoder": None, "dtype": "float32",
        "harness": "0.1.0", "code": {"model": "aaaa"}, "weights": {"corpus": "bbbb"}, **changes,
    }  # fmt: skip
    value = float(statistics.mean())
    return RunResult(
        signature=signature,
        digest=digest(signature),
        metrics={"key_found": Measurement(value, value, value, len(statistics), True, "", "key_found|v1", (0, 1))},
        breakdown=(),
        examples=len(statistics),
        failed=0,
        failures=(),
        identity={},
        ran={},
        samples=Samples("same", {"key_found": statistics}),
    )
