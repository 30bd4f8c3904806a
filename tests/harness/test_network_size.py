"""Does a budget of parameters hold, and is a model of another size than the benchmark's reference marked?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from arena import Pupil, ScoreTask, pairing, session

from harness.api import registry
from harness.api.errors import HarnessError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget
from harness.commands.run import parse_budget
from harness.runner import run_pairing
from harness.signature import digest
from harness.sources import DataSources
from harness.tasks.long_range._reference import transformer_parameters


@dataclass(frozen=True)
class Sized(Pupil):
    """A learner whose network says how large it is (nothing for -1)."""

    parameters: int = 100

    def fit(self, *streams: Any, **given: Any) -> Any:
        known = {} if self.parameters < 0 else {"parameters": self.parameters}
        return replace(super().fit(*streams, **given), identity={"backend": "plain", **known})


@dataclass(frozen=True)
class Arena(ScoreTask):
    """A task of a benchmark with a reference model of 100 parameters."""

    reference_parameters: int = 100


def run(tmp_path: Path, size: int, limit: int = 0, task: Any = None) -> Any:
    cell = pairing(task or ScoreTask(), Sized(parameters=size), learns=True, budget=Budget(parameters=limit))
    return run_pairing(cell, session(tmp_path)).result


def test_a_network_within_its_budget_is_run(tmp_path: Path) -> None:
    assert run(tmp_path, 100, 100).examples == 40


@pytest.mark.parametrize(("size", "said"), [(101, "has 101 parameters"), (-1, "does not say how many")])
def test_a_network_beyond_its_budget_is_refused(tmp_path: Path, size: int, said: str) -> None:
    with pytest.raises(HarnessError, match=said):
        run(tmp_path, size, 100)


@pytest.mark.parametrize(("size", "marked"), [(89, True), (90, False), (110, False), (112, True), (-1, False)])
def test_a_size_beyond_a_tenth_of_the_reference_is_noted(tmp_path: Path, size: int, marked: bool) -> None:
    notes = run(tmp_path, size, task=Arena()).notes
    assert any("reference model (100)" in note for note in notes) == marked


def test_the_command_line_takes_it() -> None:
    assert parse_budget("steps=3,parameters=5000") == Budget(steps=3, parameters=5000)


def test_runs_without_it_keep_the_names_that_they_had(tmp_path: Path) -> None:
    cells = [pairing(model=Sized(), learns=True, budget=Budget(steps=1, parameters=size)) for size in (0, 500)]
    without, with_it = (run_pairing(cell, session(tmp_path)).result.signature for cell in cells)
    assert without["budget"] == {"steps": 1, "seconds": 0.0, "tokens": 0}
    assert digest(without) != digest(with_it)


def test_a_sequence_model_takes_the_widest_network_that_fits() -> None:
    task = registry.create("task", "long_range/parity:train=8,validation=4,test=4")
    sources = DataSources(None, online=False)
    sizes = {}
    for limit in (20_000, 200_000):
        fitted = registry.create("model", "sequence/gru").fit(
            lambda: task.examples("train", 0, sources),
            lambda: task.examples("validation", 0, sources),
            seed=0, budget=Budget(steps=1, parameters=limit), setting=Setting(sources), meter=SilentMeter(),
        )  # fmt: skip
        sizes[limit] = fitted.identity["parameters"]
    assert all(0.5 * limit < size <= limit for limit, size in sizes.items())


def test_the_reference_size_is_that_of_such_an_encoder() -> None:
    # torch's own layer, with biases in its attention that the release leaves out
    layer = torch.nn.TransformerEncoderLayer(32, 1, 64)
    counted = sum(weight.numel() for name, weight in layer.named_parameters() if not _attention_bias(name))
    body = 256 * 32 + 1025 * 32 + 32 + 2 * 32  # pixels, positions, marker, last norm
    head = 32 * 64 + 64 + 64 * 10 + 10
    assert registry.create("task", "long_range/image").reference_parameters == counted + body + head
    assert registry.create("task", "long_range/image:source=digits").reference_parameters == 0
    pair = transformer_parameters(vocabulary=9, classes=2, width=8, inner=8, mlp=4, layers=0, pair=True)
    assert pair == 9 * 8 + 8 + 16 + (16 * 4 + 4) + (4 * 2 + 2) + (2 * 2 + 2)


def _attention_bias(name: str) -> bool:
    return name.startswith("self_attn") and name.endswith("bias")
