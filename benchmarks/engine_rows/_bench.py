"""What do the rows of the engine benchmark share? Models loaded once, both sides timed in turn, a line of the table."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.api.protocols import Setting, SilentMeter
from harness.models.lms._linear import PackedLinear
from harness.models.lms._loading import model_folder, put_up
from harness.models.lms._runtime import LlamaRuntime
from harness.models.lms._shape import Shape
from harness.models.lms._text import TextModel
from harness.sources import DataSources, data_root
from harness.timing import clock

METER = SilentMeter()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the table; `ratio` is how many times faster ours is."""

    row: str
    ours: str
    theirs: str = ""
    ratio: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    wanted: str = ""
    note: str = ""


@dataclass
class Bench:
    """The models of a run, loaded when a row first needs them."""

    path: Path
    rounds: int
    examples: int
    batches: tuple[int, ...] = (1, 8, 32)
    tokens: int = 0  # new tokens of a generation; 0: the row's own number
    _ours: dict[tuple[str, str], TextModel] = field(default_factory=dict)
    _theirs: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def folder(self) -> Path:
        return model_folder(self.path)

    def ours(self, dtype: str = "float32", weights: Any = "full") -> TextModel:
        if (dtype, weights) not in self._ours:
            setting = Setting(DataSources(None), dtype=dtype)
            self._ours[dtype, weights] = put_up(self.folder, setting, weights=weights)
        return self._ours[dtype, weights]

    def theirs(self, dtype: str = "float32") -> Any:
        if dtype not in self._theirs:
            from transformers import AutoModelForCausalLM

            self._theirs[dtype] = AutoModelForCausalLM.from_pretrained(self.folder, dtype=getattr(torch, dtype)).eval()
        return self._theirs[dtype]

    @cached_property
    def lm_eval(self) -> Any:
        from lm_eval.models.huggingface import HFLM
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        return HFLM(
            pretrained=self.theirs(), tokenizer=tokenizer, batch_size=1, max_length=self.ours().lm.context_length
        )

    def compare(
        self, row: str, work: Sequence[Any], ours: Callable[[Any], Any], theirs: Callable[[Any], Any], wanted: str
    ) -> Outcome:
        """Time both sides on each item of `work`, alternating which goes first."""
        ours(work[0])
        times: list[list[float]] = [[], []]
        for number, item in enumerate(work):
            for side in (0, 1) if number % 2 else (1, 0):
                start = clock()
                (ours, theirs)[side](item)
                times[side].append(clock() - start)
        first, second = np.array(times[0]), np.array(times[1])
        draws = np.random.default_rng(0).integers(0, len(work), (2000, len(work)))
        ratios = np.median(second[draws], axis=1) / np.median(first[draws], axis=1)
        low, high = np.percentile(ratios, [2.5, 97.5])
        ratio = float(np.median(second) / np.median(first))
        shown = [f"{np.median(side):.3f} s" for side in (first, second)]
        return Outcome(row, shown[0], shown[1], ratio, float(low), float(high), wanted, f"{len(work)} rounds")

    def best_batch(self, ask: Callable[[int], Any]) -> int:
        """The batch size with which the other side is fastest on one small piece of work."""
        seconds = {}
        for size in self.batches:
            start = clock()
            ask(size)
            seconds[size] = clock() - start
        return min(seconds, key=lambda size: seconds[size])


def endless(model: TextModel) -> TextModel:
    """The same model without an end token, so that both sides emit the same number of tokens."""
    lm = model.lm
    assert isinstance(lm, LlamaRuntime)
    return replace(model, lm=LlamaRuntime(lm.network, lm.context_length, []))


def sizes(shape: Shape) -> list[tuple[int, int]]:
    """The matrices [outputs, inputs] of one layer: joined query, key and value; output; gate; up; down."""
    read = shape.heads * shape.head_width
    return [
        (read + 2 * shape.kv_heads * shape.head_width, shape.width), (shape.width, read),
        (shape.hidden, shape.width), (shape.hidden, shape.width), (shape.width, shape.hidden),
    ]  # fmt: skip


def floor_layers(size: int, dtype: torch.dtype) -> list[PackedLinear]:
    """Matrices as tall as SmolLM2's head, of `size` bytes in all.

    As many bytes as the model has: a smaller matrix stays partly in the last cache and reads several times as fast.
    """
    rows = 49_152
    count = max(1, round(size / (rows * 576 * dtype.itemsize)))
    return [PackedLinear(torch.randn(rows, 576, dtype=dtype)) for _ in range(count)]


def bandwidth(size: int, dtype: torch.dtype) -> float:
    """Bytes a second that packed products at batch 1 read from matrices of `size` bytes in all: the floor's rate."""
    layers = floor_layers(size, dtype)
    x = torch.randn(1, 576, dtype=dtype)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(12):
            begun = clock()
            for layer in layers:
                layer(x)
            best = min(best, clock() - begun)
    return sum(layer.outputs for layer in layers) * 576 * dtype.itemsize / best


def lines(name: str) -> Iterable[str]:
    root = data_root()
    if root is None:
        raise SystemExit("no data folder: set HARNESS_DATA")
    with gzip.open(root / name, "rt", encoding="utf-8") as stream:
        return stream.read().rstrip("\n").split("\n")
