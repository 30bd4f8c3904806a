"""Is the one training loop seeded, budgeted and resumable?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.api.errors import HarnessError, UsageError
from harness.api.protocols import Setting, SilentMeter
from harness.api.types import Budget
from harness.models._training import Recipe, Spec, batches, fit

RECIPE = Recipe(evaluate_every=5, batch_examples=4, learning_rate=1e-2)
NOWHERE: Any = None


class KilledError(Exception):
    """Stands for kill -9 between two steps."""


def regression(kill_at: int = 0, seed: int = 0, scale: float = 1.0) -> tuple[nn.Module, Spec]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.1), nn.Linear(8, 1))
    inputs = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    outputs = inputs.sum(1, keepdim=True) * scale
    calls = 0

    def loss(indices: Any) -> tuple[torch.Tensor, int]:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            raise KilledError
        rows = torch.tensor(indices)
        return (module(inputs[rows]) - outputs[rows]).square().mean(), len(indices)

    def validate() -> float:
        return float((module(inputs) - outputs).square().mean().detach())

    return module, Spec([1] * 50, loss, validate)


def run(kill_at: int = 0, folder: Path | None = None, steps: int = 40) -> tuple[nn.Module, Any]:
    module, spec = regression(kill_at)
    setting = Setting(NOWHERE, folder=folder)
    return module, fit(module, spec, RECIPE, budget=Budget(steps=steps), seed=0, setting=setting, meter=SilentMeter())


def test_a_killed_and_resumed_fit_ends_in_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    undisturbed, _ = run(folder=tmp_path / "a")
    with pytest.raises(KilledError):
        run(kill_at=18, folder=tmp_path / "b")
    resumed, progress = run(folder=tmp_path / "b")
    assert progress.step == 40
    for left, right in zip(undisturbed.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_finished_fit_is_loaded_without_another_step(tmp_path: Path) -> None:
    first, _ = run(folder=tmp_path)
    again, _ = run(kill_at=1, folder=tmp_path)
    assert torch.equal(next(first.parameters()), next(again.parameters()))


def test_the_best_weights_on_validation_are_kept() -> None:
    module, spec = regression()
    progress = fit(module, spec, RECIPE, budget=Budget(steps=40), seed=0, setting=Setting(NOWHERE), meter=SilentMeter())
    assert spec.validate is not None
    assert spec.validate() == pytest.approx(min(value for _, _, value in progress.history), rel=1e-6)
    assert spec.validate() < 0.5 * progress.history[0][2]


def test_a_budget_in_tokens_ends_training() -> None:
    module, spec = regression()
    progress = fit(
        module, spec, RECIPE, budget=Budget(tokens=41), seed=0, setting=Setting(NOWHERE), meter=SilentMeter()
    )
    assert 41 <= progress.tokens < 41 + RECIPE.batch_examples


def test_an_empty_training_split_is_a_usage_error() -> None:
    module, spec = regression()
    with pytest.raises(UsageError, match="empty"):
        fit(module, replace(spec, lengths=[]), RECIPE, budget=Budget(steps=1), seed=0, setting=Setting(NOWHERE),
            meter=SilentMeter())  # fmt: skip


def test_a_loss_that_is_not_finite_stops_with_its_step() -> None:
    module, spec = regression(scale=float("inf"))
    with pytest.raises(HarnessError, match="step 1"):
        fit(module, spec, RECIPE, budget=Budget(steps=3), seed=0, setting=Setting(NOWHERE), meter=SilentMeter())


def test_an_epoch_holds_every_example_once_within_the_token_budget() -> None:
    lengths = [index % 37 + 1 for index in range(500)]
    recipe = Recipe(batch_tokens=100, batch_examples=16)
    found = batches(lengths, recipe, seed=3, epoch=2)
    assert sorted(row for batch in found for row in batch) == list(range(500))
    assert all(len(batch) == 1 or max(lengths[row] for row in batch) * len(batch) <= 100 for batch in found)
    assert found != batches(lengths, recipe, seed=3, epoch=3)
    assert found == batches(lengths, recipe, seed=3, epoch=2)
