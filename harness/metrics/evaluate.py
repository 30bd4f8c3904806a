"""evaluate: any metric script of the `evaluate` library that lies on this machine, by its path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness.api.errors import UsageError
from harness.api.metrics import Array, Metric
from harness.api.registry import metric
from harness.api.types import Example, Labelled, Response
from harness.metrics._texts import texts


@metric(version=1)
class Evaluate(Metric):
    """`evaluate.load(path).compute(predictions=..., references=...)[field]`.

    `level=example` scores each text on its own and takes the mean, which keeps statistics of one number; it is not
    the library's own value where that does not average. `level=corpus` is for class labels alone: statistics are
    (arg-max, target) and every reduction asks the library. The script runs with your rights, so that only a local
    path is taken, never a hub name.

    Errors: UsageError when the path is not there, or the field is not among the script's results.
    """

    path: Path
    field: str
    level: Literal["example", "corpus"] = "example"
    better: Literal["higher", "lower"] = "higher"

    @property
    def name(self) -> str:
        """The script's own name and the field, where they differ."""
        stem = self.path.stem
        return stem if stem == self.field else f"{stem}.{self.field}"

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """Parameter."""
        return self.better == "higher"

    @property
    def signature(self) -> str:
        """Script digest, field, level and the library's version."""
        from hashlib import sha256
        from importlib.metadata import version

        digest = sha256(_script(self.path).read_bytes()).hexdigest()[:12]
        return f"evaluate:{self.name}|level:{self.level}|script:{digest}|evaluate:{version('evaluate')}"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        """One score, or one pair of labels."""
        answer = responses[0]
        if isinstance(answer, Labelled):
            pair = (int(np.argmax(answer.scores)), int(example.target))
            return np.array(pair if self.level == "corpus" else [self._compute([pair[0]], [pair[1]])], dtype=np.float64)
        if self.level == "corpus":
            raise UsageError("evaluate: level=corpus keeps class labels; texts need level=example.")
        hypothesis, references = texts("evaluate", example, responses)
        wanted: Any = references if len(references) > 1 else references[0]
        return np.array([self._compute([hypothesis], [wanted])], dtype=np.float64)

    def reduce(self, statistics: Array) -> float:
        """Mean, or the library's value of all labels."""
        if self.level == "example":
            return float(statistics.mean())
        predictions, references = statistics.astype(int).T.tolist()
        return self._compute(predictions, references)

    def _compute(self, predictions: list[Any], references: list[Any]) -> float:
        results = _load(self.path).compute(predictions=predictions, references=references)
        if self.field not in results:
            raise UsageError(f"evaluate: {self.path.name} gives {', '.join(results)}, not {self.field!r}.")
        return float(results[self.field])


def _script(path: Path) -> Path:
    script = path / f"{path.name}.py" if path.is_dir() else path
    if not script.is_file():
        raise UsageError(
            f"evaluate: no metric script at {str(path)!r}; give the path of a local copy of the metric's folder."
        )
    return script


@cache
def _load(path: Path) -> Any:
    import evaluate

    return evaluate.load(str(_script(path)), keep_in_memory=True)
