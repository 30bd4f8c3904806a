"""A tiny task, model and learner with every behaviour that the runner must bear; plain objects, not registered."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.errors import UsageError
from harness.api.metrics import Array, MeanMetric, TotalsMetric
from harness.api.protocols import Meter, Setting
from harness.api.types import Budget, Example, Generate, Generated, Request, Response, Score, Scored
from harness.journal import RESULT
from harness.pairing import Pairing, metrics_of
from harness.planning import Cell
from harness.results import without_measured
from harness.session import Session


@dataclass(frozen=True)
class Bits(MeanMetric):
    """Mean of total log-probability, in nats."""

    unit: str = "nats"

    @property
    def name(self) -> str:
        return "nats"

    def value(self, example: Example, responses: Sequence[Response]) -> float:
        return sum(answer.total for answer in responses if isinstance(answer, Scored))


@dataclass(frozen=True)
class Letters(TotalsMetric):
    """Scored letters an example: two statistics, so that widths differ between metrics."""

    @property
    def name(self) -> str:
        return "letters"

    def measure(self, example: Example, responses: Sequence[Response]) -> Array:
        lengths = [len(answer.logprobs) for answer in responses if isinstance(answer, Scored)]
        return np.array([sum(lengths), len(lengths)], dtype=float)

    def from_totals(self, totals: Array, count: Any) -> Array:
        return np.asarray(totals[..., 0] / np.maximum(1, totals[..., 1]))


@dataclass(frozen=True)
class ScoreTask:
    """`size` strings of different lengths to score, two requests an example."""

    size: int = 40
    version: str = "1"
    metrics: tuple[Any, ...] = (Bits(), Letters())
    door: str = "score"
    repeat_id: bool = False
    leak: bool = False

    def examples(self, split: str, seed: int, sources: Any) -> Iterator[Example]:
        if split == "validation":
            raise UsageError("no validation split")
        for index in range(self.size):
            name = "test-0" if self.leak else f"{split}-{0 if self.repeat_id else index}"
            text = chr(97 + (index + seed) % 26) * (1 + index * 7 % 23)
            yield Example(
                id=name,
                requests=(Score(f"{split} {index}", text), Score("again", text[::2])),
                tags={"parity": "even" if index % 2 == 0 else "odd", "third": str(index % 3)},
                cluster=f"pair-{index // 2}",
            )

    def data_digest(self, split: str, sources: Any) -> str:
        return f"generated:{self.version}"


@dataclass(frozen=True)
class Scorer:
    """Scores each letter by its code; told what to break, and where to write down whom it answered."""

    log: Path | None = None
    weights: str = "w1"
    identity: Mapping[str, Any] = field(default_factory=lambda: {"parameters": 3, "backend": "plain"})
    hook: Callable[[Sequence[Request]], None] | None = None

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        return {"weights": self.weights, "tokenizer": "letters"}

    def load(self, setting: Setting) -> Scorer:
        return self

    def size(self, request: Request) -> int:
        assert isinstance(request, Score)
        return len(request.context) + len(request.continuation)

    def score(self, requests: Sequence[Score], *, meter: Meter) -> list[Response]:
        if self.log:
            with open(self.log, "a") as handle:
                handle.write("".join(f"{request.context}|{request.continuation}\n" for request in requests))
                handle.flush()
                os.fsync(handle.fileno())
        if self.hook:
            self.hook(requests)
        with meter.span("score", sum(len(request.continuation) for request in requests)):
            return [
                Scored(
                    tuple(-0.1 * (ord(letter) % 7) - 0.01 for letter in request.continuation),
                    tuple((place, place + 1) for place in range(len(request.continuation))),
                )
                for request in requests
            ]


@dataclass(frozen=True)
class GenerateTask:
    """Three prompts; with `turns`, each answer leads to a next question."""

    turns: int = 1
    metrics: tuple[Any, ...] = ("exact_match",)
    door: str = "generate"

    def examples(self, split: str, seed: int, sources: Any) -> Iterator[Example]:
        for index in range(3):
            yield Example(f"g{index}", (Generate(f"start{index}", 5),), target="never")

    def data_digest(self, split: str, sources: Any) -> str:
        return f"generated:{self.turns}"


@dataclass(frozen=True)
class Talker:
    """Generates its seed, so that a test sees which seed each request got."""

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        return {"weights": "none", "tokenizer": "none"}

    def load(self, setting: Setting) -> Talker:
        return self

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"backend": "plain"}

    def size(self, request: Request) -> int:
        return 5

    def generate(
        self, requests: Sequence[Generate], *, decoder: Any, seeds: Sequence[int], meter: Meter
    ) -> list[Response]:
        for index in range(len(requests)):
            meter.emitted(index, 1)
        return [
            Generated(f"{request.source} {seed}", tokens=(seed % 97,), finished="eos")
            for request, seed in zip(requests, seeds, strict=True)
        ]


@dataclass(frozen=True)
class Pupil:
    """A learner that counts what it was shown."""

    seen: list[str] = field(default_factory=list)
    log: Path | None = None

    def fingerprint(self, setting: Setting) -> Mapping[str, str]:
        return {"version": "1"}

    def fit(
        self,
        train: Callable[[], Iterator[Example]],
        validation: Callable[[], Iterator[Example]],
        *,
        seed: int,
        budget: Budget,
        setting: Setting,
        meter: Meter,
    ) -> Scorer:
        assert setting.folder is not None
        done = setting.folder / "done"
        if not done.exists():
            with meter.span("train"):
                self.seen.extend(example.id for example in train())
                self.seen.extend(example.id for example in validation())
            setting.folder.mkdir(parents=True, exist_ok=True)
            done.write_text("fitted")
        return Scorer(log=self.log)


def pairing(task: Any = None, model: Any = None, decoder: Any = None, learns: bool = False, **cell: Any) -> Pairing:
    """Objects as `introduce` would hand them over."""
    task, model = task or ScoreTask(), model or Scorer()
    return Pairing(
        cell=Cell("arena/task", "arena/model", "arena/decoder" if decoder else None, **cell),
        task=task,
        model=model,
        decoder=decoder,
        task_spec="arena/task",
        model_spec="arena/model",
        decoder_spec="arena/decoder" if decoder else None,
        metrics=metrics_of(task, "arena/task"),
        learns=learns,
        code={"task": "t1", "model": "m1", "metrics": "s1"},
    )


def session(out: Path, **changes: Any) -> Session:
    """A session without warm-up, so that every call of the model counts."""
    return Session(**{"sources": None, "out": out, "warm_up": False, "batch_tokens": 60} | changes)


def stored(finished: Any) -> str:
    """The part of result.json that must not change, as text."""
    return json.dumps(without_measured(json.loads((finished.folder / RESULT).read_text())))


def asked_of(log: Path) -> list[str]:
    """What a model that keeps a log was asked."""
    return log.read_text().splitlines() if log.exists() else []
